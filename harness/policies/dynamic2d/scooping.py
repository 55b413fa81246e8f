"""DynScoopPour2D: bring half of the small objects over the middle wall, with the hook as a shovel.

Walls stop the robot and the small objects, but nothing that is in the hand. The robot takes the hook by the end of its
long side, pointing down, and puts it through the floor at the left wall, where its short side is outside of the room.
It sweeps to the right and turns, so that the long side comes up through the floor and lifts what lies before the middle
wall. What is on it cannot fall off: it lies between the robot and the wall, until it is above that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from world import Array, World

_DOWN = -math.pi / 2
_HIGH = 2.4  # the hook, held down, passes above the middle wall
_LEFT, _RIGHT = 0.22, 3.28  # how close the base comes to a wall
_LOW = 0.35  # the fingers are just above the floor
_BEFORE, _BEYOND = 0.95, 2.35  # where the robot stops on either side of the middle wall
_TOP = 1.8  # the hook, held to the right, is above the middle wall
_OPEN = 0.25
_DEEP = 0.09  # how far the end of the hook is between the fingers
_NARROW = 3.39  # where a hook is farther to the right, the fingers do not fit around it
_TILT = 0.09


def play(world: World) -> Iterator[Array]:
    """Yield the changes of x, y, theta, arm and gripper for each step."""
    radius = world.things["robot"]["base_radius"]
    while not world.things["hook"]["held"]:
        yield from world.go(y=_HIGH, arm=radius, gap=_OPEN, theta=_DOWN)
        yield from _take_at_wall(world) if world.things["hook"]["x"] > _NARROW else _take(world)
    while True:
        yield from world.go(y=_HIGH, arm=radius)
        yield from world.go(x=_LEFT, theta=_DOWN)
        yield from world.go(y=_LOW)
        yield from world.go(x=_BEFORE)
        yield from world.go(theta=0.0)
        yield from world.go(y=_TOP)
        yield from world.go(x=_BEYOND, y=_HIGH - 0.4)
        yield from world.go(theta=_DOWN)


def _take(world: World) -> Iterator[Array]:
    """Close the fingers around the upper end of the hook."""
    hook, robot = world.things["hook"], world.things["robot"]
    yield from world.go(x=min(hook["x"] - hook["width"] / 2, _RIGHT))
    yield from world.go(y=hook["length_side1"] - _DEEP + robot["base_radius"] + robot["finger_width"])
    yield from _close(world, 0.0, 0.015)


def _take_at_wall(world: World) -> Iterator[Array]:
    """Push the hook flat against the wall, and take it with the outer side of a finger, while this closes.

    The hand only takes what is almost in the middle of it, at its other end: so it leans.
    """
    hook, robot = world.things["hook"], world.things["robot"]
    yield from world.go(x=_RIGHT - _OPEN, theta=-math.pi)
    yield from world.go(y=robot["base_radius"] + 0.07)
    yield from world.go(x=_RIGHT - 0.025, slack=1e-3)
    yield from world.go(x=_RIGHT - 0.1)
    tips = robot["arm_length"] + robot["finger_width"]
    yield from world.go(y=hook["length_side1"] + tips + 0.05, theta=_DOWN + _TILT, arm=robot["arm_length"])
    edge = world.things["hook"]["x"] - hook["width"] - 4e-3 - robot["finger_height"] / 2
    yield from world.go(x=_RIGHT, gap=2 * (edge - _RIGHT - tips * math.sin(_TILT)), slack=2e-3)
    yield from world.go(y=hook["length_side1"] - _DEEP + tips, slack=4e-3)
    yield from _close(world, 3e-3, 2e-3)


def _close(world: World, right: float, narrower: float) -> Iterator[Array]:
    """Close the fingers, and go to the right meanwhile, until the hook is in the hand."""
    for _ in range(15):
        if world.things["hook"]["held"]:
            break
        x, *_, gap = world.pose()
        yield world.change(x=x + right, gap=gap - narrower)
