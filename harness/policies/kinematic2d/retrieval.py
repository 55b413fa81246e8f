"""ClutteredRetrieval2D: bring the target block into the target region, and clear away what is in the way.

While the block cannot be reached or brought, the obstruction nearest to it that the robot can reach goes elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
from grasping import Hands, Step
from scene import Array, Features, Held, Pose, Scene, box, corners, turn

THINGS = {"robot", "target_block", "target_region"}


def seen(things: dict[str, Features]) -> Scene:
    """Return the scene of a state."""
    return Scene(things, (2.5, 2.5))


def plan(scene: Scene) -> list[Step]:
    """Return the steps that bring the target block into the region, or else carry one obstruction away."""
    hands = Hands(scene)
    if found := hands.brings("target_block", lambda held: _inside(scene, held)):
        return found
    wide = np.array([_around(scene, "target_block", 0.6), _around(scene, "target_region", 0.35)])
    narrow = np.array([_around(scene, "target_block", 0.3), _around(scene, "target_region", 0.2)])
    ends = [_middle(scene, name) for name in ("target_block", "target_region")]
    others = [name for name in scene.things if name.startswith("obstruction")]
    others.sort(key=lambda name: min(float(np.linalg.norm(_middle(scene, name) - end)) for end in ends))
    others.append("target_block")
    return hands.clears(others, wide, narrow) or hands.clears(others) or [(scene.pose, 0)]


def _middle(scene: Scene, name: str) -> Array:
    return np.asarray(corners(scene.things[name]).mean(0))


def _around(scene: Scene, name: str, distance: float) -> Array:
    x, y = _middle(scene, name)
    return box(x - distance, y - distance, x + distance, y + distance)


def _inside(scene: Scene, held: Held) -> list[Pose]:
    """Return the poses at which the held block, turned like the region, is in its middle."""
    region, block = scene.things["target_region"], scene.things["target_block"]
    found = []
    for quarter in range(4):
        theta = region["theta"] + quarter * math.pi / 2
        x, y = _middle(scene, "target_region") - turn(theta) @ (block["width"] / 2, block["height"] / 2)
        found += [scene.placed(held, x, y, theta, arm) for arm in (scene.reach, scene.radius)]
    return found
