"""Held-out episode seeds: a keyed hash of the private evaluation seed, the same for every backend and model."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

FIRST_HELD_OUT = 10_000
"""Seeds below belong to the agent's own tools, so a tool can never show a held-out episode."""
_END = 2**31
"""NumPy's legacy generators and some physics engines take no larger seed."""


def episode_seeds(secret: int, environment: str, replicate: int, count: int) -> list[int]:
    """`count` different seeds in 10,000 .. 2**31 - 1 for one replicate of an environment.

    They depend on nothing else (not on backend or model), and a longer list begins with the shorter one.
    """
    key = str(secret).encode()
    seeds: dict[int, None] = {}
    draw = 0
    while len(seeds) < count:
        message = f"{environment}\0{replicate}\0{draw}".encode()
        number = int.from_bytes(hmac.digest(key, message, "sha256")[:16], "big")
        seeds[FIRST_HELD_OUT + number % (_END - FIRST_HELD_OUT)] = None
        draw += 1
    return list(seeds)


def digest(seeds: Sequence[int]) -> str:
    """What the record keeps of the seeds: a SHA-256 in hexadecimal, equal only for the same seeds in the same order."""
    return hashlib.sha256(",".join(map(str, seeds)).encode()).hexdigest()
