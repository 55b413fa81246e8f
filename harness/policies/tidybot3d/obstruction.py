"""Obstruction3D: carry what stands on the target region away, then put the target block on it."""

from __future__ import annotations

import itertools

import numpy as np
from crane import GAP, Crane
from world import Motion, Vector, World, up

FLOOR = -0.4
LOW, HIGH, TOP = np.array((0.1, -0.4)), np.array((0.5, 0.4)), 0.075
"""The corners of the table, and the height of its top."""


def play(world: World) -> Motion:
    """Clear the region, from the tallest thing on it to the flattest, and bring the block."""
    crane = Crane(world, high=TOP + 0.2, floor=FLOOR)
    region, size = world.place("target_region"), world.size("target_block")
    for name in sorted(world.named("obstruction"), key=lambda name: -world.size(name)[2]):
        away = np.abs(world.place(name) - region)[:2] - world.size(name)[:2]
        if (away < size[:2] + 0.01).all():
            yield from _carry(crane, name, _free(world, name), TOP)
    yield from _carry(crane, "target_block", region[:2], region[2] + world.size("target_region")[2])


def _carry(crane: Crane, name: str, spot: Vector, under: float) -> Motion:
    """Put a thing down on a surface whose top is at the height `under`."""
    place, half = crane.world.place(name), up(crane.world.size(name)[2])
    yield from crane.carry(name, place + half, np.append(spot, under + GAP) + half - place)


def _free(world: World, name: str) -> Vector:
    """Return the spot on the table that is farthest from everything else."""
    others = [world.place(other)[:2] for other in world.things if other not in ("robot", name)]
    low, high = LOW + 0.05, HIGH - 0.05
    spots = np.array(list(itertools.product(np.linspace(low[0], high[0], 15), np.linspace(low[1], high[1], 30))))
    distance = np.linalg.norm(spots[:, None] - np.array(others), axis=2).min(axis=1)
    return np.asarray(spots[distance.argmax()])
