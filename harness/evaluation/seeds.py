"""Held-out episode seeds: a keyed hash of the private evaluation seed.

They are the same for every backend and model.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from harness.environments.base import PUBLIC_SEEDS

FIRST_HELD_OUT = PUBLIC_SEEDS.stop
"""Held-out seeds start here. The agent's tools take smaller seeds."""
_END = 2**31
"""Seeds stay below this. Some physics engines accept no larger seeds, and NumPy's legacy generators stop at 2**32."""


def episode_seeds(secret: int, environment: str, replicate: int, count: int) -> list[int]:
    """Return `count` different seeds from 10,000 to 2**31 - 1 for one replicate of an environment.

    They depend on these arguments only, not on backend or model. A longer list begins with the shorter one.
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
    """Return what the record keeps of the seeds: a SHA-256 in hexadecimal.

    It is equal only for the same seeds in the same order.
    """
    return hashlib.sha256(",".join(map(str, seeds)).encode()).hexdigest()
