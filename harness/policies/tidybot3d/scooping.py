"""ScoopPour3D: bring the cubes from the yellow bin into the green one.

The hand reaches into the bin from above and carries one cube after another. It may take some together.
"""

from __future__ import annotations

import numpy as np
from motors import Motors, Stance
from world import Motion, World, up

STANCE = Stance(0.75, roll=np.pi / 2)
"""How the hand is held: far enough in front of the base that this stays before the island. Its fingers close along the
bins, away from their long walls."""
GRIP, RIM = 0.025, 0.13
"""How far over a cube's middle the hand closes, and over a bin's foot it passes its walls, in metres."""
READY = 0.2
"""The x of the hand, before the bins, when the arm is stretched."""
INSIDE = np.array((0.195, 0.12))
"""How far from the middle of the green bin a cube lies in it, in metres."""
EDGE = 0.08
"""How far before the middle of the green bin the hand lets go, in metres."""
WIDE, BESIDE = 0.055, 0.016
"""How far from a cube's middle the open fingers reach, and how far beside them another cube is out of their way."""
ROUGH = 0.05
"""How near a motion comes to a place that is only on its way."""


def play(world: World) -> Motion:
    """Carry one cube after another."""
    motors = Motors(world)
    green = world.where("bin_green_0")
    yield from motors.move(np.array((READY, green[1] - 2 * EDGE, green[2] + RIM)), STANCE, ROUGH)
    while heap := [name for name in world.named("cube") if (np.abs(world.where(name) - green)[:2] > INSIDE).any()]:
        name = min(heap, key=lambda name: _blocked(world, name, heap))
        yield from _carry(motors, name)


def _blocked(world: World, name: str, heap: list[str]) -> int:
    """Return how many other cubes are where the fingers go down."""
    off = np.abs([world.where(other) - world.where(name) for other in heap if other != name]).reshape(-1, 3)
    return int(((off[:, 1] < BESIDE) & (off[:, 0] < WIDE)).sum())


def _carry(motors: Motors, name: str) -> Motion:
    """Take a cube, and drop it into the green bin."""
    world = motors.world
    green = world.where("bin_green_0")
    high = green[2] + RIM
    yield from motors.move(np.append(world.where(name)[:2], high), STANCE, ROUGH)
    yield from motors.move(world.where(name) + up(GRIP), STANCE, 0.01, 30)
    yield from motors.fingers(1.0, 4)
    yield from motors.move(np.append(motors.hand()[:2], high), STANCE, 0.025)
    yield from motors.move(np.array((motors.hand()[0], green[1] - EDGE, high)), STANCE, 0.025)
    yield from motors.fingers(0.0, 3)
