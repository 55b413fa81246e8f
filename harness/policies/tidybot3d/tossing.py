"""Tossing3D: bring the cubes over the barrier into the bin. The base may push the barrier."""

from __future__ import annotations

import numpy as np
from hoist import Hoist
from world import Motion, Vector, World, up

GRIP = 0.01
"""How far the hand is above the middle of a cube that it grips, in metres."""
HIGH = 0.45
"""The height at which the hand carries a cube, and lets it fall."""
NEAR, FAR = 0.62, 0.78
"""How far in front of the base the hand hangs over a cube on the floor, and over the bin."""


def play(world: World) -> Motion:
    """Carry one cube after another."""
    for name in world.named("cube"):
        place, bin_ = _place(world, name), _place(world, "bin")
        if np.abs(place - bin_)[:2].max() < 0.14:
            continue
        hoist = Hoist(world, NEAR)
        yield from hoist.take(place + up(GRIP), _yaw(world, name), HIGH)
        hoist.ahead = FAR
        yield from hoist.move(bin_ + up(HIGH))
        yield from hoist.hold(0.0, 8)
        hoist.ahead = NEAR
        yield from hoist.move(np.append(place[:2], HIGH))


def _place(world: World, start: str) -> Vector:
    return world.read(world.named(start)[0], "x", "y", "z")


def _yaw(world: World, name: str) -> float:
    """Return how a cube is turned, to at most 45 degrees."""
    w, z = world.read(name, "qw", "qz")
    return float((2 * np.arctan2(z, w) + np.pi / 4) % (np.pi / 2) - np.pi / 4)
