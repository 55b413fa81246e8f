"""StickButton2D: take the stick by its lower end, and touch one button after another, from left to right.

The base cannot enter the table in the upper half. The stick, held upright above the robot, reaches every button there.
"""

from __future__ import annotations

import math

from grasping import Step, steps
from moving import along
from scene import Features, Pose, Scene

THINGS = {"robot", "stick", "button0"}
_WIDTH, _HEIGHT = 3.5, 2.5
_TABLE = _HEIGHT / 2  # where the table begins
_LOW = 0.3  # below every stick


def seen(things: dict[str, Features]) -> Scene:
    """Return the scene of a state."""
    return Scene(things, (_WIDTH, _HEIGHT))


def plan(scene: Scene) -> list[Step]:
    """Return the steps that take the stick, or with the stick in hand, those to the next button."""
    if scene.things["robot"]["vacuum"] < 0.5:
        return _take(scene)
    waiting = [t for name, t in scene.things.items() if name.startswith("button") and t["color_g"] < 0.5]
    button = min(waiting, key=lambda button: button["x"])
    x = min(max(button["x"], scene.radius + 5e-3), _WIDTH - scene.radius - 5e-3)
    stick = scene.things["stick"]
    top = scene.pose.y + (_HEIGHT - 5e-3 - stick["y"] - stick["height"])  # how far up the robot may go with the stick
    y = button["y"] if button["y"] < 0.9 else button["y"] - 0.5
    y = min(max(y, scene.radius + 5e-3), top, _TABLE - scene.radius - 5e-3)
    return steps(along([scene.pose, scene.pose.moved(x=x), scene.pose.moved(x=x, y=y)]), 1)


def _take(scene: Scene) -> list[Step]:
    """Go down, turn the arm up, go below the stick, and up until the gripper almost touches it.

    Beside a wall the arm leans towards the stick.
    """
    stick, low = scene.things["stick"], scene.pose.moved(y=_LOW)
    middle = stick["x"] + stick["width"] / 2
    x = min(max(middle, scene.radius + 5e-3), _WIDTH - scene.radius - 5e-3)
    missing = max(0.0, abs(middle - x) - scene.grip_height / 2)
    lean = math.copysign(math.asin(missing / scene.reach), x - middle)
    below = Pose(x, _LOW, math.pi / 2 + lean, scene.radius)
    corner = scene.grip_height / 2 * math.sin(abs(lean))
    reach = scene.reach * math.cos(lean) + 0.75 * scene.grip_width + corner
    grasp = below.moved(y=stick["y"] - reach)
    ready = below.moved(y=min(_LOW, grasp.y), arm=scene.reach)
    path = along([scene.pose, low, low.moved(theta=below.theta), below, ready, grasp.moved(arm=scene.reach)])
    return [*steps(path, 0), (path[-1], 1)]
