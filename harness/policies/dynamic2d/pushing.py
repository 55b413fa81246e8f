"""DynPushT2D: push the T into its goal with the round robot.

Where nothing touches the T, it stands still, so that a push can be predicted: the point that is touched moves with the
robot, and the T turns as a rigid body of even density. The robot predicts pushes at many points of the outline in
several directions. It takes the one that gains most for each step, counted with the way to the point.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tee import Tee, ways
from world import Array, World

_STEP = 0.0499  # the largest change of x or y in one step, inside its bounds
_SLOW = 0.03  # for each step of a push
_LONGEST = 40  # steps of a push, at most
_AGAIN = 12  # steps of a push, until the next plan
_NEVER = 10**6  # steps to a point that cannot be reached
_ARM = 0.5  # an angle of 1 radian counts like this distance
_CLEAR = 0.02  # between the robot and the T before a push
_OFF = np.radians(np.array([0.0, 20.0, -20.0, 35.0, -35.0]))  # directions of a push, from straight inwards


def play(world: World) -> Iterator[Array]:
    """Yield the change of x and y for each step."""
    while True:
        tee, goal = Tee(world.things["tblock"]), Tee(world.things["goal_tblock"])
        for point in _plan(tee, goal, world.place("robot"), world.things["robot"]["radius"]):
            yield np.clip(point - world.place("robot"), -_STEP, _STEP)


def _plan(tee: Tee, goal: Tee, robot: Array, radius: float) -> list[Array]:
    """Return the points through which the robot shall go: to the T, and along with it."""
    points, normals = tee.outline()
    near = points + normals * (radius + _CLEAR)
    reached = ways(tee, robot, radius, near)
    spots = np.repeat(np.arange(len(points)), len(_OFF))
    angles = np.arctan2(-normals[:, 1], -normals[:, 0])[:, None] + _OFF
    directions = np.stack([np.cos(angles), np.sin(angles)], -1).reshape(-1, 2)
    errors = tee.pushed(points[spots], normals[spots], directions * _SLOW, _LONGEST, goal, _ARM)
    walks = np.array([len(reached[spot]) if spot in reached else _NEVER for spot in range(len(points))])[spots]
    rates = (tee.error(goal, _ARM) - errors) / (walks[:, None] + np.arange(1, _LONGEST + 1) + 3)
    best, length = divmod(int(rates.argmax()), _LONGEST)
    spot = int(spots[best])
    ahead = [_CLEAR + _SLOW * step for step in range(1, min(length + 1, _AGAIN) + 1)]
    return [*reached.get(spot, []), *(near[spot] + directions[best] * distance for distance in ahead)]
