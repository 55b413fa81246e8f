"""What the policy sees, and how the robot with two fingers moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class World:
    """The features of each thing in the newest state, by the thing's name, and the largest action."""

    things: dict[str, dict[str, float]]
    limits: Array

    def place(self, name: str) -> Array:
        """Return the x and y of a thing."""
        return np.array([self.things[name]["x"], self.things[name]["y"]])

    def pose(self) -> Array:
        """Return the x, y and theta of the robot, the length of its arm, and the gap between its fingers."""
        robot = self.things["robot"]
        return np.array([robot[name] for name in ("x", "y", "theta", "arm_joint", "finger_gap")])

    def change(self, **goal: float) -> Array:
        """Return the action towards a pose. What is not named stays."""
        names = ("x", "y", "theta", "arm", "gap")
        here = self.pose()
        there = np.array([goal.get(name, value) for name, value in zip(names, here, strict=True)])
        limits = self.limits * 0.999
        return np.clip(there - here, -limits, limits)

    def go(self, slack: float = 0.01, **goal: float) -> Iterator[Array]:
        """Yield actions until the robot is where it shall be, or no longer moves."""
        stuck = 0
        while stuck < 4:
            change = self.change(**goal)
            if (np.abs(change) < slack).all():
                return
            before = self.pose()
            yield change
            stuck = stuck + 1 if np.abs(self.pose() - before).max() < 1e-3 else 0
