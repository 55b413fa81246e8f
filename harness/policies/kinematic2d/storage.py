"""ClutteredStorage2D: stack all blocks, lying flat, in columns on the shelf.

The shelf is as wide as the blocks that it holds at first, side by side and a little crooked, and deep enough for a
stack. The robot takes each of these by its lower side, straightens it and pushes it to the back of its column; then it
puts the others below them.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from grasping import Hands, Step
from scene import Array, Features, Held, Pose, Scene, corners, turn

THINGS = {"robot", "shelf", "block0"}
_WIDTH, _HEIGHT = 5.0, 3.0
_GAP = 6e-3  # between the blocks of a column


def seen(things: dict[str, Features]) -> Scene:
    """Return the scene of a state."""
    return Scene(things, (_WIDTH, _HEIGHT))


def plan(scene: Scene) -> list[Step]:
    """Return the steps that put one block in its place."""
    hands = Hands(scene)
    blocks = [name for name in scene.things if name.startswith("block")]
    stored = [name for name in blocks if _stored(scene, name)]
    inside = [name for name in blocks if name not in stored and _middle(scene, name)[1] > scene.things["shelf"]["y1"]]
    others = [name for name in blocks if name not in stored and name not in inside]
    others.sort(key=lambda name: float(np.linalg.norm(_middle(scene, name) - (scene.pose.x, scene.pose.y))))
    for name in inside or others:
        columns = _columns(scene)
        levels = [(sum(abs(_middle(scene, other)[0] - x) < 0.05 for other in stored), x) for x in columns]
        if inside:
            levels = [min(levels, key=lambda level: abs(level[1] - _middle(scene, name)[0]))]
        for level, x in sorted(levels):
            if found := hands.brings(name, partial(_lying, scene, x, level)):
                return found
    for name in others:
        if found := hands.removes(name, corners(scene.things[name])[None]):
            return found
    return [(scene.pose, 0)]


def _middle(scene: Scene, name: str) -> Array:
    return np.asarray(corners(scene.things[name]).mean(0))


def _columns(scene: Scene) -> list[float]:
    """Return the middle of each column of the shelf."""
    shelf, block = scene.things["shelf"], scene.things["block0"]
    count = int(shelf["width1"] / block["width"])
    return [shelf["x1"] + (number + 0.5) * shelf["width1"] / count for number in range(count)]


def _level(scene: Scene, level: int) -> float:
    """Return the y of the middle of a block in a column, counted from the back."""
    return _HEIGHT - _GAP - scene.things["block0"]["height"] / 2 - level * (scene.things["block0"]["height"] + _GAP)


def _stored(scene: Scene, name: str) -> bool:
    """Return whether a block lies flat at one of the places of a column."""
    x, y = _middle(scene, name)
    flat = abs(math.sin(scene.things[name]["theta"])) < 0.01
    column = min(abs(x - column) for column in _columns(scene)) < 0.01
    return flat and column and min(abs(y - _level(scene, level)) for level in range(5)) < 1e-3


def _lying(scene: Scene, x: float, level: int, held: Held) -> list[Pose]:
    """Return the poses, arm up, at which the held block lies at a place of a column."""
    block, found = scene.things[held.name], []
    for theta in (0.0, math.pi):
        corner = np.array([x, _level(scene, level)]) - turn(theta) @ (block["width"] / 2, block["height"] / 2)
        pose = scene.placed(held, float(corner[0]), float(corner[1]), theta, scene.reach)
        if abs(math.sin(pose.theta) - 1) < 0.01:
            found.append(pose)
    return found
