"""The error of an environment that fails in a held-out episode."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.environments.hosts import EnvironmentFailed


class HeldOutFault(EnvironmentFailed):
    """The environment failed in a held-out episode. The details are what it said last. Neither has the seeds."""

    def __init__(self, error: EnvironmentFailed, seeds: Sequence[int]) -> None:
        first, _, rest = _without(seeds, str(error)).partition("\n")
        super().__init__(first)
        self.details = rest


def _without(seeds: Sequence[int], text: str) -> str:
    return re.sub(rf"(?<!\d)({'|'.join(map(str, seeds))})(?!\d)", "<held-out seed>", text)
