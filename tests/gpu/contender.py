"""Races for the lease of a GPU: `python -m tests.gpu.contender MB FOLDER` prints when it had the lease, as JSON."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from tests.gpu.server import lease

HOLD_S = 0.5
"""How many seconds a contender keeps the GPU."""


class Turn(msgspec.Struct, frozen=True):
    """When a contender got the lease and when it gave it back, in seconds of this machine's monotonic clock."""

    gpus: tuple[str, ...]
    began: float
    ended: float


def main() -> None:
    """Take a turn."""
    with lease(int(sys.argv[1]), Path(sys.argv[2])) as held:
        began = time.monotonic()
        time.sleep(HOLD_S)
        turn = Turn(held.gpus, began, time.monotonic())
    print(msgspec.json.encode(turn).decode())


if __name__ == "__main__":
    main()
