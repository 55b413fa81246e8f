"""SweepSimple3D: bring the cubes around the corner of the kitchen island.

Cubes tumble below a blade that is swept over the floor. So the hand carries one cube after another. The wiper would
stop the robot, so the hand tips it over first: the base passes over what lies on the floor.
"""

from __future__ import annotations

import numpy as np
from motors import Motors, Stance
from world import Motion, Vector, World, up

LOW = Stance(0.62, heading=-np.pi / 2)
"""How the hand is held for cubes."""
GRIP, OVER = 0.015, 0.07
"""How far over the middle of a cube the hand closes, and over that of others it carries one, in metres."""
TALL, TIP, BEYOND = 0.45, 0.25, 0.1
"""The height at which the hand passes over the wiper and that at which it tips it over, and from how far behind."""
UPRIGHT = 0.95
"""The cosine of half the angle from which on the wiper no longer stands."""
GOAL, DEEP, APART = (0.87, 1.12), 8, 0.045
"""Where the first cube goes, how many cubes stand in a row beside it, and how far apart, in metres."""
CORNER = np.array((1.05, 1.12, 0.0))
"""Where the hand passes on its way around the island."""
ROUGH = 0.1
"""How near a motion comes to a place that is only on its way."""


def play(world: World) -> Motion:
    """Tip the wiper over, and carry the cubes."""
    motors = Motors(world)
    if np.linalg.norm(world.read("wiper_0", "qw", "qz")) > UPRIGHT:
        yield from _tip(motors)
    for number, name in enumerate(world.named("cube")):
        x, y, _ = world.where(name)
        if x < 0.92 and y > 0.96:
            continue
        spot = np.array((*GOAL, 0.0)) - APART * np.array((number % DEEP, -(number // DEEP), 0))
        yield from _carry(motors, name, spot)


def _carry(motors: Motors, name: str, spot: Vector) -> Motion:
    """Bring a cube to a spot beside the island."""
    where = motors.world.where
    yield from motors.move(where(name) + up(OVER), LOW, ROUGH / 2)
    yield from motors.move(where(name) + up(GRIP), LOW, 0.01, 30)
    yield from motors.fingers(1.0, 4)
    yield from motors.move(where(name) + up(OVER), LOW, ROUGH)
    yield from motors.move(CORNER + up(OVER), LOW, ROUGH)
    yield from motors.move(spot + up(OVER), LOW, 0.03)
    yield from motors.fingers(0.0, 3)
    yield from motors.move(CORNER + up(OVER), LOW, ROUGH)


def _tip(motors: Motors) -> Motion:
    """Push the handle from behind, so that the wiper falls towards the robot."""
    w, z = motors.world.read("wiper_0", "qw", "qz")
    yaw = (2 * np.arctan2(z, w) + np.pi / 2) % np.pi - np.pi / 2
    place, near = motors.world.where("wiper_0"), BEYOND * np.array((-np.sin(yaw), np.cos(yaw), 0))
    stance = Stance(0.62, heading=yaw - np.pi / 2)
    motors.grip = 1.0
    yield from motors.move(place + 4 * near + up(TALL), stance, 0.2)
    yield from motors.move(place - near + up(TALL), stance, ROUGH)
    yield from motors.move(place - near + up(TIP), stance, ROUGH)
    yield from motors.move(place + near + up(TIP), stance, ROUGH / 2)
    motors.grip = 0.0
