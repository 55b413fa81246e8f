"""SortClutteredBlocks3D: put the cubes into the bins of their colours.

The cubes lie in a heap between the bins. The hand takes one from above, whose sides are free.
"""

from __future__ import annotations

import numpy as np
from motors import Motors, Stance
from world import Motion, World, up

STANCE = Stance(0.72, heading=np.pi)
"""How the hand is held: far enough in front of the base that this stays before the table."""
BINS = ("bin_red", "bin_green", "bin_blue", "bin_yellow")
"""The cubes are numbered bin by bin."""
GRIP, OVER, RIM = 0.02, 0.05, 0.16
"""How far over a cube's middle the hand closes, from where it goes straight down, and how far over a bin's foot it lets
go, in metres."""
READY, APART = (0.3, 0.0), (0.0, 0.3)
"""Where the hand is when the arm is stretched, and where it drops cubes that it took together."""
LIFTED = 0.07
"""How far below the hand's height a cube is that it holds, at most, in metres."""
WIDE, BESIDE = 0.075, 0.024
"""How far from a cube's middle the open fingers reach, and how far beside them another cube is out of their way."""
ROUGH = 0.05
"""How near a motion comes to a place that is only on its way."""


def play(world: World) -> Motion:
    """Carry one cube after another. Where the hand takes several, it drops them apart from the heap."""
    motors = Motors(world)
    bins = _bins(world)
    high = world.where(BINS[0])[2] + RIM
    yield from motors.move(np.array((*READY, high)), STANCE, ROUGH)
    while heap := [name for name in bins if np.abs(world.where(name) - world.where(bins[name]))[:2].max() > 0.04]:
        yield from _lift(motors, max(heap, key=lambda name: _ease(world, name, heap)), high)
        held = [name for name in bins if world.where(name)[2] > high - LIFTED]
        if held:
            goal = world.where(bins[held[0]]) if len(held) == 1 else np.array(APART)
            yield from motors.move(np.append(goal[:2], high), STANCE, 0.02)
        yield from motors.fingers(0.0, 4)


def _bins(world: World) -> dict[str, str]:
    """Return the bin of each cube."""
    cubes = sorted(world.named("cube"), key=lambda name: int(name.removeprefix("cube")))
    return {name: BINS[number * len(BINS) // len(cubes)] for number, name in enumerate(cubes)}


def _ease(world: World, name: str, heap: list[str]) -> float:
    """Return how easily the hand takes a cube: it lies high, and few others are where the fingers go down."""
    off = np.abs([world.where(other) - world.where(name) for other in heap if other != name]).reshape(-1, 3)
    blocked = (off[:, 0] < BESIDE) & (off[:, 1] < WIDE)
    return 100 * float(world.where(name)[2]) - float(blocked.sum())


def _lift(motors: Motors, name: str, high: float) -> Motion:
    """Grip a cube and lift it."""
    where = motors.world.where
    yield from motors.move(np.append(where(name)[:2], high), STANCE, ROUGH)
    yield from motors.move(where(name) + up(OVER), STANCE, 0.02)
    yield from motors.move(where(name) + up(GRIP), STANCE, 0.01, 30)
    yield from motors.fingers(1.0, 5)
    yield from motors.move(np.append(motors.hand()[:2], high), STANCE, ROUGH)
