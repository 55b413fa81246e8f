"""A policy for the worlds of KinDER in which TidyBot, a robot arm on a mobile base, moves.

Each world has a strategy of its own. A strategy is a generator of actions; it looks at the newest state when it likes.
When it ends before the episode does, it starts anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupboard
import drive
import dynamicshelf
import limb
import numpy as np
import obstruction
import packing
import scooping
import shelf
import sorting
import sweeping
import table
import tossing
import transport
from world import Motion, World

STRATEGIES: tuple[tuple[tuple[str, ...], Callable[[World], Motion]], ...] = (
    (("obstacle_chair",), drive.play_dynamo),
    (("target_region", "target_block"), obstruction.play),
    (("rack", "part"), packing.play),
    (("wiper", "cube"), sweeping.play),
    (("bin_red", "cube"), sorting.play),
    (("scoop", "cube"), scooping.play),
    (("shelf", "cube"), shelf.play),
    (("cupboard_1", "cube1"), dynamicshelf.play),
    (("table", "box", "cube"), transport.play),
    (("table", "cube"), table.play),
    (("bin", "cuboid_barrier"), tossing.play),
    (("cupboard", "cuboid"), cupboard.play),
    (("limb",), limb.play),
    (("target",), drive.play),
)
"""What the names of a world's things begin with, and the strategy for that world. The first that fits counts."""


def strategy_for(world: World) -> Callable[[World], Motion]:
    """Return the strategy for a world."""
    for starts, strategy in STRATEGIES:
        if all(world.named(start) for start in starts):
            return strategy
    raise ValueError(f"no strategy knows a world with {', '.join(world.things)}")


class GeneratedApproach:
    """The policy."""

    def __init__(self, action_space: Any, observation_space: Any, primitives: Any = None) -> None:
        del primitives
        self._space = observation_space
        self._rest = np.zeros(action_space.shape)
        self._world = World(float(action_space.high[0]))

    def reset(self, state: Any, info: Any) -> None:
        """Begin an episode."""
        del info
        self._look(state)
        self._strategy = strategy_for(self._world)
        self._motion = self._strategy(self._world)

    def get_action(self, state: Any) -> Any:
        """Return the next action of the strategy."""
        self._look(state)
        action = next(self._motion, None)
        if action is None:
            self._motion = self._strategy(self._world)
            action = next(self._motion, self._rest)
        return action.astype(np.float32)

    def _look(self, state: Any) -> None:
        self._world.look(self._space.devectorize(state) if isinstance(state, np.ndarray) else state)
