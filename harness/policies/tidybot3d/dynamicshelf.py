"""Shelf3D with physics: bring the cubes from the floor into the uppermost compartment of a cupboard."""

from __future__ import annotations

import numpy as np
from motors import Motors, Stance
from world import Motion, World, up

_PITCH = np.pi / 4
LOW, HIGH = Stance(0.82, _PITCH), Stance(0.98, _PITCH)
"""How the hand is held at the floor and in the cupboard. It always points forward and down, so that it fits between the
boards and a cube stays level. The arm has a short way from one to the other."""
BOARD = 0.5461
"""How high the board is on which the cubes shall stand, over the cupboard's foot."""
GRIP = 0.015
"""How far over the middle of a cube the hand closes, as the fingers get longer then."""
APART, LOOSE = 0.064, 0.45
"""How far the cubes stand apart, and how far the hand opens to let one go without touching the next one."""
OUT = np.array((-0.2, 0, 0.06))
"""Where the hand goes into the cupboard, seen from where it lets a cube go."""
ROUGH = 0.1
"""How near a motion comes to a place that is only on its way."""


def play(world: World) -> Motion:
    """Carry one cube after another."""
    motors = Motors(world)
    names = world.named("cube")
    middle = world.where("cupboard_1") + np.array((-0.05, 0, BOARD + 0.02))
    for number, name in enumerate(names):
        spot = middle + np.array((0, (number - (len(names) - 1) / 2) * APART, 0))
        if abs(world.where(name)[2] - spot[2]) < 0.01:
            continue
        yield from motors.move(world.where(name) + up(0.1), LOW, ROUGH)
        yield from motors.move(world.where(name) + up(GRIP), LOW)
        yield from motors.fingers(1.0, 5)
        yield from motors.move(world.where(name) + up(0.08), LOW, ROUGH)
        spot += motors.hand() - world.where(name)
        yield from motors.move(spot + OUT, HIGH, ROUGH)
        yield from motors.move(spot + up(0.06), HIGH, ROUGH)
        yield from motors.move(spot + up(0.002), HIGH, steps=6)
        yield from motors.fingers(LOOSE)
        yield from motors.move(spot + OUT, HIGH, ROUGH)
        motors.grip = 0.0
