"""Motion2D: through the gaps of the walls to the target region.

The robot moves up or down only in the middle between two walls, until it is level with the next gap, and then straight
through that gap. Its gripper points along the way through a gap, or upwards where the walls stand too close for that.
"""

from __future__ import annotations

import math
from itertools import groupby, pairwise

from grasping import Step, steps
from moving import along
from scene import Features, Scene

THINGS = {"robot", "target_region"}
_SIZE, _THICK = 2.5, 0.01  # of the world, and of a wall


def seen(things: dict[str, Features]) -> Scene:
    """Return the scene of a state."""
    return Scene(things, (_SIZE, _SIZE))


def plan(scene: Scene) -> list[Step]:
    """Return the steps to the middle of the target region."""
    target, start = scene.things["target_region"], scene.pose
    goal = start.moved(x=target["x"] + target["width"] / 2, y=target["y"] + target["height"] / 2)
    halves = sorted((t["x"], t["y"], t["height"]) for name, t in scene.things.items() if name.startswith("obstacle"))
    gaps = []  # the x of each wall ahead, and the middle of its gap
    for _, ((x, bottom, height), (_, top, _)) in groupby(halves, key=lambda half: round(half[0], 3)):
        if x > start.x:
            gaps.append((x, (bottom + height + min(top, _SIZE)) / 2))
    close = any(right - left < 2.3 * scene.radius for (left, _), (right, _) in pairwise(gaps))
    corners = [start, start.moved(theta=math.pi / 2 if close else 0)]
    for (x, level), (following, _) in pairwise([*gaps, (math.inf, 0)]):
        beyond = min((x + following + _THICK) / 2, goal.x)
        corners += [corners[-1].moved(y=level), corners[-1].moved(y=level, x=beyond)]
    corners.append(goal.moved(theta=corners[-1].theta))
    return steps(along(corners), 0)
