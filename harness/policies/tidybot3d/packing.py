"""Packing3D: put the parts into the rack.

The rack holds them without turning any: a square part at one end of it, a triangle in the corner before it, and
another triangle in the opposite corner.
"""

from __future__ import annotations

import numpy as np
from crane import GAP, Crane
from world import Motion, Vector, World

FLOOR, WALL, PEG = -0.4, 0.01, 0.05
"""The height of the floor, the thickness of the rack's walls and of its bottom, and the height of a part's peg."""
SQUARE = 0.1
"""How long the sides of a square part are."""
ROOM = 0.004
"""The parts stay this far from the walls, and a triangle from the square."""


def play(world: World) -> Motion:
    """Lift each part that is not in the rack yet by its peg, and put it where it belongs."""
    rack, inside = world.place("rack"), world.size("rack") - WALL - ROOM
    crane = Crane(world, high=rack[2] + 0.25, floor=FLOOR)
    square = any("side_a" not in world.things[name] for name in world.named("part"))
    left = [(-1, (SQUARE + ROOM) / inside[1] - 1 if square else -1), (1, 1)]
    for name in world.named("part"):
        outline, height = _outline(world, name)
        corner = np.array(left.pop(0) if "side_a" in world.things[name] else (-1, -1))
        shape = np.array((outline.min(axis=0), outline.max(axis=0)))
        spot = rack[:2] + np.where(corner > 0, inside[:2] * corner - shape[1], inside[:2] * corner - shape[0])
        goal = np.append(spot, rack[2] - world.size("rack")[2] + WALL + height + GAP)
        place = world.place(name)
        if np.abs(goal - place).max() > 0.01:
            peg = np.append(outline.mean(axis=0), height + PEG)
            yield from crane.carry(name, place + peg, goal - place)


def _outline(world: World, name: str) -> tuple[Vector, float]:
    """Return the corners of a part as seen from its origin, and half its height."""
    if "side_a" not in world.things[name]:
        x, y, height = world.size(name)
        return np.array(((-x, -y), (x, -y), (x, y), (-x, y))), float(height)
    side, other, depth, kind = world.read(name, "side_a", "side_b", "depth", "triangle_type")
    if kind:
        return np.array(((0, 0), (side, 0), (0, other))), depth / 2
    third = side * np.sqrt(3) / 6
    return np.array(((-side / 2, -third), (side / 2, -third), (0, 2 * third))), depth / 2
