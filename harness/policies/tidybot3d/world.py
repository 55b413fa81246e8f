"""What a policy knows of the world: the features of each thing, and where the robot is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Motion = Iterator[Vector]
"""The actions of a motion, one by one."""


def up(height: float) -> Vector:
    """Return a step upwards, in metres."""
    return np.array((0.0, 0.0, height))


class World:
    """The newest state. `look` takes over the next one, also while a motion is under way."""

    def __init__(self, most: float) -> None:
        self.most = most * 0.999
        """The largest change of a joint or of the base in one action. It stays inside the bounds in float32 too."""

    def look(self, state: Any) -> None:
        """Take over an `ObjectCentricState`."""
        self.things = {
            thing.name: {name: float(state.get(thing, name)) for name in state.type_features[thing.type]}
            for thing in state
        }

    def read(self, thing: str, *features: str) -> Vector:
        """Return some features of a thing."""
        return np.array([self.things[thing][feature] for feature in features])

    def place(self, thing: str) -> Vector:
        """Return where the middle of a thing is, in metres."""
        return self.read(thing, "pose_x", "pose_y", "pose_z")

    def where(self, thing: str) -> Vector:
        """Return where a thing of MuJoCo is, in metres."""
        return self.read(thing, "x", "y", "z")

    def size(self, thing: str) -> Vector:
        """Return half the size of a thing along x, y and z, in metres."""
        return self.read(thing, "half_extent_x", "half_extent_y", "half_extent_z")

    def named(self, start: str) -> list[str]:
        """Return the names of the things that begin like this."""
        return sorted(name for name in self.things if name.startswith(start))
