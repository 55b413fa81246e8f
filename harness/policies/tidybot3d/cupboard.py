"""ConstrainedCupboard3D: put each rod lengthwise into its cell.

The hand holds a rod near one end and pushes the other end in, so that it stays in front of the cell. It is enough that
the rod's middle is inside.
"""

from __future__ import annotations

import numpy as np
from hoist import Hoist
from world import Motion, Vector, World, up

FRONT = 1.85
"""The x of the cells' openings."""
BEHIND, IN = 0.11, 0.06
"""How far behind the rod's middle the hand grips, and how far inside the middle comes, in metres."""
GRIP = 0.012
"""How far the hand is above the rod's middle."""
FLOORS = (0.02, 0.14)
"""The heights of the cells' floors: of the lower one, and of that above a flat one."""
ABOVE = 0.045
"""How far above the floor of its cell a rod goes in, in metres."""
HIGH, AWAY = 0.45, 1.2
"""The height at which the hand carries a rod, and its x while it waits in front of the cupboards."""
SLOW = 0.03
"""How far a rod goes in per action, in metres."""


def play(world: World) -> Motion:
    """Bring one rod after another. A rod that is in a cupboard stays there."""
    rods = world.named("cuboid")
    for number, name in enumerate(rods):
        cupboard, floor, more = _cell(number, len(rods))
        spot = np.append(FRONT + IN, world.read(cupboard, "y", "z"))
        spot[2] = floor + ABOVE + more
        if abs(world.read(name, "x")[0] - 2.0) < 0.15:
            continue
        hoist = Hoist(world)
        yield from _fetch(hoist, name)
        yield from _insert(hoist, name, spot)


def _cell(number: int, count: int) -> tuple[str, float, float]:
    """Return the cupboard of a rod, the height of the cell's floor, and how far above that it goes in."""
    if count < 3:  # the second rod goes in above the first
        return "cupboard_1", FLOORS[0], 0.08 * number
    return f"cupboard_{number}", FLOORS[1] if number < 3 else FLOORS[0], 0.0


def _fetch(hoist: Hoist, name: str) -> Motion:
    """Take a rod at its end, with the robot along it."""
    world = hoist.world
    hoist.heading = _along(world, name)
    forward = np.array((np.cos(hoist.heading), np.sin(hoist.heading), 0))
    yield from hoist.take(world.read(name, "x", "y", "z") - BEHIND * forward + up(GRIP), 0.0, HIGH)


def _insert(hoist: Hoist, name: str, spot: Vector) -> Motion:
    """Turn to the cupboards, hold the rod before its cell, move it in and let go."""
    world = hoist.world
    hoist.heading = 0.0
    yield from hoist.move(np.array((AWAY, spot[1], HIGH)))
    low = spot[2] + GRIP
    yield from hoist.move(np.array((AWAY, spot[1], low)))
    hoist.heading = -_along(world, name)
    yield from hoist.move(np.array((AWAY, spot[1], low)))
    off = spot - world.read(name, "x", "y", "z")
    hand = np.array((AWAY, spot[1], low)) + off
    hoist.quick = SLOW
    yield from hoist.move(hand)
    yield from hoist.hold(0.0, 8)
    yield from hoist.move(np.append(hand[:2] - (0.3, 0.0), HIGH))
    hoist.quick = world.most


def _along(world: World, name: str) -> float:
    """Return the direction of a rod, to at most 90 degrees."""
    w, x, y, z = world.read(name, "qw", "qx", "qy", "qz")
    axis = np.array((2 * (x * y - w * z), w * w - x * x + y * y - z * z))
    angle = np.arctan2(axis[1], axis[0])
    return float((angle + np.pi / 2) % np.pi - np.pi / 2)
