"""All benchmarks: `make bench`. Each prints ratios against a baseline of the same run."""

from __future__ import annotations

from tests.benchmarks import (
    budgets,
    calibration,
    collection,
    decode,
    gateway,
    history,
    recording,
    rollouts,
    scheduling,
    sealed,
    startup,
)

if __name__ == "__main__":
    startup.main()
    collection.main()
    decode.main()
    scheduling.main()
    history.main()
    sealed.main()
    rollouts.main()
    recording.main()
    gateway.main()
    budgets.main()
    calibration.main()
