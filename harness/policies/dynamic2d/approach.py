"""A policy for KinDER's `dynamic2d` worlds, in which things move by physics.

Each world has a strategy of its own: a generator that looks at the newest state when it likes, and yields actions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hooking
import numpy as np
import pushing
import scooping
import sliding
from numpy.typing import NDArray
from world import Array, World


class GeneratedApproach:
    """The policy."""

    def __init__(self, action_space: Any, observation_space: Any, primitives: Any = None) -> None:
        del primitives
        self._limits = np.asarray(action_space.high)
        self._space = observation_space

    def reset(self, state: Any, info: Any) -> None:
        """Begin an episode."""
        del info
        self._world = World(self._things(state), self._limits)
        self._actions = strategy(self._world)

    def get_action(self, state: Any) -> NDArray[np.float64]:
        """Return the next action."""
        self._world.things = self._things(state)
        return next(self._actions)

    def _things(self, state: Any) -> dict[str, dict[str, float]]:
        if isinstance(state, np.ndarray):
            state = self._space.devectorize(state)
        return {t.name: {name: float(state.get(t, name)) for name in state.type_features[t.type]} for t in state}


def strategy(world: World) -> Iterator[Array]:
    """Return the actions for a world. Raise `ValueError` if no strategy knows it."""
    if "target_surface" in world.things:
        return sliding.play(world)
    if any(name.startswith("small_") for name in world.things):
        return scooping.play(world)
    if "hook" in world.things:
        return hooking.play(world)
    if "tblock" in world.things:
        return pushing.play(world)
    raise ValueError(f"no strategy knows a world with {', '.join(world.things)}")
