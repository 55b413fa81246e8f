"""Held-out episode seeds: a keyed hash of the environment's name.

They are the same for every backend, model and replicate, so that comparisons are paired.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.environments.base import PUBLIC_SEEDS
from harness.seed_key import SeedKey

FIRST_HELD_OUT = PUBLIC_SEEDS.stop
"""Held-out seeds start here. The agent's tools take smaller seeds."""
_END = 2**31
"""Seeds stay below this. Some physics engines accept no larger seeds, and NumPy's legacy generators stop at 2**32."""


class HeldOutSeeds(list[int]):
    """The seeds of the held-out episodes. A traceback that shows its variables does not show these."""

    def __repr__(self) -> str:
        return f"<{len(self)} held-out seeds>"


def episode_seeds(key: SeedKey, environment: str, count: int, *, salt: int = 0) -> HeldOutSeeds:
    """Return `count` different seeds from 10,000 to 2**31 - 1 for an environment.

    They depend on these arguments only. A longer list begins with the shorter one. `salt` is public
    (`evaluation.seed`): another number gives other seeds.
    """
    seeds: dict[int, None] = {}
    draw = 0
    while len(seeds) < count:
        number = int.from_bytes(key.mac(f"seed\0{salt}\0{draw}\0{environment}".encode())[:16], "big")
        seeds[FIRST_HELD_OUT + number % (_END - FIRST_HELD_OUT)] = None
        draw += 1
    return HeldOutSeeds(seeds)


def digest(key: SeedKey, seeds: Sequence[int]) -> str:
    """Return what the record keeps of the seeds, in hexadecimal.

    For one key, it is equal only for the same seeds in the same order. Without the key, it does not show whether a
    guess of the seeds is right.
    """
    return key.mac(f"digest\0{','.join(map(str, seeds))}".encode()).hex()
