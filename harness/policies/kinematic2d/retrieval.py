"""ClutteredRetrieval2D: bring the target block into the target region, and clear away what is in the way.

While the block cannot be reached or brought, the robot clears the way on which the fewest obstructions are.
"""

from __future__ import annotations

import math

import numpy as np
from corridor import Corridor
from grasping import Hands, Step
from scene import Array, Features, Held, Pose, Scene, corners, turn

THINGS = {"robot", "target_block", "target_region"}
_EMPTY, _LOADED = 0.12, 0.19  # the radius of a disc in which the robot can turn, without and with the block


def seen(things: dict[str, Features]) -> Scene:
    """Return the scene of a state."""
    return Scene(things, (2.5, 2.5))


def plan(scene: Scene) -> list[Step]:
    """Return the steps that bring the target block into the region, or else carry one obstruction away."""
    hands = Hands(scene)
    if found := hands.brings("target_block", lambda held: _inside(scene, held)):
        return found
    block, region = (_middle(scene, name) for name in ("target_block", "target_region"))
    others = [name for name in scene.things if name.startswith("obstruction")]
    carry = Corridor(scene, _LOADED, region, block, others)
    come = Corridor(scene, _EMPTY, np.array((scene.pose.x, scene.pose.y)), carry.middles[-1], others)
    clear = np.concatenate([carry.squares, come.squares])
    reached = next(hands.holds("target_block"), None) is not None
    blocking = list(dict.fromkeys([*([] if reached else come.names), *carry.names[::-1]]))
    rest = sorted(set(others) - set(blocking), key=lambda name: float(np.linalg.norm(_middle(scene, name) - block)))
    found = hands.clears(blocking, clear) or hands.clears([*blocking, *rest, "target_block"])
    return found or [(scene.pose, 0)]


def _middle(scene: Scene, name: str) -> Array:
    return np.asarray(corners(scene.things[name]).mean(0))


def _inside(scene: Scene, held: Held) -> list[Pose]:
    """Return the poses at which the held block, turned like the region, is in its middle."""
    region, block = scene.things["target_region"], scene.things["target_block"]
    found = []
    for quarter in range(4):
        theta = region["theta"] + quarter * math.pi / 2
        x, y = _middle(scene, "target_region") - turn(theta) @ (block["width"] / 2, block["height"] / 2)
        found += [scene.placed(held, x, y, theta, arm) for arm in (scene.reach, scene.radius)]
    return found
