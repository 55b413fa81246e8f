"""All benchmarks: `make bench`. Each prints ratios against a baseline of the same run."""

from __future__ import annotations

from tests.benchmarks import collection, decode, scheduling

if __name__ == "__main__":
    collection.main()
    decode.main()
    scheduling.main()
