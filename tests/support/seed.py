"""A private seed for tests, and where it shows up in files."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

SEED = "5eedfade0c0ffee1d15ea5e0ddba11ad5eedfade0c0ffee1d15ea5e0ddba11ad"
"""A private seed, as in `PROCTOR_SEED`."""


def files_with_seed(folder: Path, seed: str = SEED) -> list[Path]:
    """Return the files below a folder that hold the seed, in any way of writing it."""
    ways = list(_ways(seed))
    return [path for path in folder.rglob("*") if path.is_file() and any(way in path.read_bytes() for way in ways)]


def _ways(seed: str) -> Iterator[bytes]:
    key = bytes.fromhex(seed)
    yield from (key, seed.lower().encode(), seed.upper().encode(), base64.b64encode(key).rstrip(b"="))
    yield from (f"{int(seed, 16)}".encode(), ascii(key)[2:-1].encode())
