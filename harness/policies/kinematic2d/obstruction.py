"""Obstruction2D: carry what stands on the target surface away, then put the target block on it.

There is no gravity, so that a block stays where it is left, even in the air.
"""

from __future__ import annotations

import math

import numpy as np
from grasping import Hands, Step
from scene import Array, Features, Held, Pose, Scene, box, corners, overlaps

THINGS = {"robot", "target_block", "target_surface"}
_TABLE = 0.1  # its height
_TALL = 0.26  # the tallest block, and a little more
_ROOM = 0.12  # at each side of a block, for the robot above it


def seen(things: dict[str, Features]) -> Scene:
    """Return the scene of a state. The table is not in the state, but always there."""
    width = (1 + math.sqrt(5)) / 2
    table = {"x": 0, "y": 0, "theta": 0, "width": width, "height": _TABLE, "static": 1, "z_order": 100}
    return Scene({**things, "table": table}, (width, 1.0))


def plan(scene: Scene) -> list[Step]:
    """Return the steps that put the target block on the surface, or else carry another block away."""
    hands = Hands(scene)
    surface = scene.things["target_surface"]
    others = [name for name in scene.things if name.startswith("obstruction")]
    on_surface = [name for name in others if overlaps(_place(scene), np.array([corners(scene.things[name])])).any()]
    if not on_surface and (found := hands.brings("target_block", lambda held: _on_surface(scene, held))):
        return found
    others.sort(key=lambda name: abs(scene.things[name]["x"] - surface["x"]))
    others.append("target_block")
    places = _above(scene)
    found = hands.clears(on_surface, *places) or hands.clears(others, *places) or hands.clears(others)
    return found or [(scene.pose, 0)]


def _above(scene: Scene) -> list[Array]:
    """Return where no obstruction shall be: above the surface and the target block, and if possible in the air."""
    air, found = box(0, _TABLE + _TALL, scene.size[0], scene.size[1]), []
    things = (scene.things["target_surface"], scene.things["target_block"])
    for room in (_ROOM, 0.02):
        columns = [box(thing["x"] - room, _TABLE, thing["x"] + thing["width"] + room, 1) for thing in things]
        found += [np.array([*columns, air]), np.array(columns)]
    return found


def _place(scene: Scene) -> Array:
    """Return the place of the target block on the surface."""
    surface, block = scene.things["target_surface"], scene.things["target_block"]
    return box(surface["x"], _TABLE, surface["x"] + surface["width"], _TABLE + block["height"])[None]


def _on_surface(scene: Scene, held: Held) -> list[Pose]:
    """Return the poses at which the held block stands in the middle of the surface, or at one of its ends."""
    surface, block = scene.things["target_surface"], scene.things["target_block"]
    spare = surface["width"] - block["width"]
    shares = (0.5, 0.2, 0.8)  # of what is spare
    places = [surface["x"] + share * spare for share in shares]
    return [scene.placed(held, x, _TABLE + 2e-3, 0, arm) for x in places for arm in (scene.reach, scene.radius)]
