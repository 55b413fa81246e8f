"""All benchmarks: `make bench`. Each prints ratios against a baseline of the same run."""

from __future__ import annotations

from tests.benchmarks import collection, decode

if __name__ == "__main__":
    collection.main()
    decode.main()
