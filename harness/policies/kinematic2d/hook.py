"""PushPullHook2D: with the hook in hand, push the movable button straight at the target button.

Any side of the hook can push. The robot looks for a grasp, a side, and a place on that side with which it can push all
the way, while its base stays off the table. A button that is pushed moves at right angles to the side.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from grasping import Hands, Step, steps
from scene import Features, Held, Pose, Scene, box, turn

THINGS = {"robot", "hook", "movable_button", "target_button"}
_WIDTH, _HEIGHT = 3.5, 2.5
_CLEAR, _PUSH = 0.02, 0.02  # from the button before a push, and for each step of the push
_ANGLES = np.radians([0, 15, -15, 30, -30])  # how far a push may be off the direction to the target


def seen(things: dict[str, Features]) -> Scene:
    """Return the scene of a state, with the table in the upper half."""
    return Scene(things, (_WIDTH, _HEIGHT), box(0, _HEIGHT / 2, _WIDTH, _HEIGHT)[None])


def plan(scene: Scene) -> list[Step]:
    """Return the steps of one push, with those to take the hook before it."""
    hands = Hands(scene)
    if scene.things["robot"]["vacuum"] > 0.5:
        held = scene.hold("hook", scene.pose)
        return _push(hands, scene.pose, held) or [(scene.pose, 0)]
    for start, held in hands.holds("hook"):
        if found := _push(hands, start, held):
            return [*hands.picks(start), *found]
    return [(scene.pose, 0)]


def _push(hands: Hands, start: Pose, held: Held) -> list[Step] | None:
    """Return the steps that carry the hook from a pose to the button, and push."""
    scene, others = hands.scene, hands.scene.solid("hook", "movable_button")
    ways = []
    for before, after in _pushes(scene, held):
        if not scene.hits([before, after], others, held).any():
            ways.append((before, after))
    if not ways:
        return None
    path = hands.carries(start, [before for before, _ in ways][:8], held)
    if path is None:
        return None
    after = next(after for before, after in ways if before == path[-1])
    count = math.ceil(math.hypot(after.x - path[-1].x, after.y - path[-1].y) / _PUSH)
    change = np.array([after.x - path[-1].x, after.y - path[-1].y]) / count
    push = [path[-1].moved(x=path[-1].x + n * change[0], y=path[-1].y + n * change[1]) for n in range(1, count + 1)]
    return steps([*path, *push], 1)


def _pushes(scene: Scene, held: Held) -> list[tuple[Pose, Pose]]:
    """Return the poses before and after each push that may bring the button to the target."""
    hook, button, target = (scene.things[name] for name in ("hook", "movable_button", "target_button"))
    w, long, short = hook["width"], hook["length_side1"], hook["length_side2"]
    sides = [  # two ends of each side in the frame of the hook, and the direction that it faces
        ((-long, 0), (0, 0), math.pi / 2),
        ((-long, -w), (-w, -w), -math.pi / 2),
        ((0, -short), (0, 0), 0.0),
        ((-w, -short), (-w, -w), math.pi),
    ]
    place = np.array([button["x"], button["y"]])
    gap = np.array([target["x"], target["y"]]) - place
    straight, distance = math.atan2(gap[1], gap[0]), float(np.linalg.norm(gap))
    found = []
    for off, (one, other, facing), share in product(_ANGLES, sides, (0.2, 0.5, 0.8)):
        direction = straight + off
        theta = direction - facing
        ahead = np.array([math.cos(direction), math.sin(direction)])
        contact = turn(theta) @ (np.array(one) + share * (np.array(other) - np.array(one)))
        corner = place - ahead * (button["radius"] + _CLEAR) - contact
        for arm in (scene.reach, scene.radius):
            before = scene.placed(held, float(corner[0]), float(corner[1]), theta, arm)
            length = distance * math.cos(off) - 0.01
            after = before.moved(x=before.x + length * ahead[0], y=before.y + length * ahead[1])
            found.append((before, after))
    return found
