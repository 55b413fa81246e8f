"""A policy for all of KinDER's `kinematic2d` worlds.

Each family has a strategy of its own. A strategy plans from what it sees, as far ahead as it can, and returns the poses
through which the robot shall go. The policy plays these, and asks again when they are used up or a step was blocked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import buttons
import hook
import motion
import numpy as np
import obstruction
import retrieval
import storage
from grasping import Step
from moving import LIMITS, difference
from numpy.typing import NDArray
from scene import Features, Pose, Scene, features

Sight = Callable[[dict[str, Features]], Scene]
Strategy = Callable[[Scene], list[Step]]


def strategy_for(things: dict[str, Features]) -> tuple[Sight, Strategy]:
    """Return how the family that has these things reads a state, and its strategy."""
    for family in (buttons, hook, storage, retrieval, obstruction, motion):
        if things.keys() >= family.THINGS:
            return family.seen, family.plan
    raise ValueError(f"no strategy knows a world with {', '.join(things)}")


class GeneratedApproach:
    """The policy."""

    def __init__(self, action_space: Any, observation_space: Any, primitives: Any = None) -> None:
        del action_space, primitives
        self._space = observation_space

    def reset(self, state: Any, info: Any) -> None:
        """Begin an episode."""
        del info
        self._seen, self._strategy = strategy_for(self._things(state))
        self._steps: deque[Step] = deque()
        self._expected: Pose | None = None

    def get_action(self, state: Any) -> NDArray[np.float32]:
        """Return the change of x, y, theta and arm, and the vacuum."""
        scene = self._seen(self._things(state))
        blocked = self._expected is not None and np.abs(difference(self._expected, scene.pose)).max() > 1e-3
        if blocked or not self._steps:
            self._steps = deque(self._strategy(scene))
        self._expected, vacuum = self._steps.popleft()
        change = np.clip(difference(scene.pose, self._expected), -LIMITS, LIMITS)
        return np.array([*change, vacuum], np.float32)

    def _things(self, state: Any) -> dict[str, Features]:
        return features(self._space.devectorize(state) if isinstance(state, np.ndarray) else state)
