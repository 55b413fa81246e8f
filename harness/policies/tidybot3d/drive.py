"""BaseMotion3D and Dynamo3D: drive straight to a point."""

from __future__ import annotations

import numpy as np
from world import Motion, Vector, World


def play(world: World) -> Motion:
    """Drive to the target of BaseMotion3D."""
    return drive(world, world.read("target", "x", "y"))


def play_dynamo(world: World) -> Motion:
    """Drive to the middle of Dynamo3D's goal, which the state does not name, and push the chairs aside."""
    return drive(world, np.array((1.0, 0.0)))


def drive(world: World, goal: Vector) -> Motion:
    """Drive the base straight to a point on the floor."""
    while True:
        left = goal - world.read("robot", "pos_base_x", "pos_base_y")
        yield np.append(np.clip(left, -world.most, world.most), np.zeros(9))
