"""KinematicShelf3D: bring the cubes from the floor to the top of the shelf, in two rows."""

from __future__ import annotations

import numpy as np
from crane import GAP, Crane
from world import Motion, World, up

LAYER, LAYERS, BOARD = 0.2667, 4, 0.0127
"""The height of a layer, how many boards there are, and how thick a board is."""


def play(world: World) -> Motion:
    """Carry one cube after another. The robot comes from the shelf's front, so that the arm never is inside it."""
    crane = Crane(world, high=1.0, ahead=0.5, heading=np.pi / 2)
    top = world.place("shelf") + up(LAYER * (LAYERS - 1) + BOARD / 2 + GAP)
    for number, name in enumerate(world.named("cube")):
        place, half = world.place(name), up(world.size(name)[2])
        goal = top + half + np.array(((number // 2 - 2) * 0.115, (number % 2 - 0.5) * 0.12, 0))
        if np.abs(goal - place).max() > 0.01:
            yield from crane.carry(name, place + half, goal - place)
