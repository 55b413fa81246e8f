"""DynPushPullHook2D: pull the target block down to the middle wall with the hook.

The robot takes the hook by the end of its long side. Walls stop the base, but nothing that is in the hand: so the hook
turns to the left below the room, and then swings over the block from the left. Its short side just reaches over the
block, which things between the two push to the right. The robot follows, and draws the hook in. Where the block
escapes, it tries again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from grid import Grid, places
from numpy.typing import NDArray
from world import Array, World

_WIDTH, _WALL = 3.5, 1.725  # of the room, and the lower edge of the middle wall
_OPEN = 0.32
_HALF = 0.19  # half of the width of the open gripper
_SPARE = 0.03  # how far the hook reaches beyond the block
_DEEP = 0.06  # how far the middle of the gripper is from the end of the hook


def play(world: World) -> Iterator[Array]:
    """Yield the changes of x, y, theta, arm and gripper for each step."""
    yield from world.go(arm=world.things["robot"]["base_radius"], gap=_OPEN)
    while True:
        if not world.things["hook"]["held"]:
            yield from _take(world)
        else:
            yield from _pull(world)


def _take(world: World) -> Iterator[Array]:
    """Go to the end of the long side and take it. First push the hook away from the wall, if it is too close."""
    hook, robot = world.things["hook"], world.things["robot"]
    radius, tips = robot["base_radius"], robot["base_radius"] + robot["finger_width"]
    yield from world.go(theta=robot["theta"] + _wrap(hook["theta"] - robot["theta"]))
    frame = _frame(hook)
    before = _place(frame, -hook["length_side1"] - tips - 0.04, -hook["width"] / 2)
    missing = _missing(before, frame[0], radius)
    if missing > 0:
        high, low = -hook["width"] - _HALF - 0.02, -0.8 * hook["length_side2"]  # a push at a low place turns the hook
        y = high if hook["theta"] > -0.05 else low
        push = _place(frame, -hook["width"] - tips - 0.04, y)
        yield from _walk(world, push)
        yield from world.go(**_at(push + frame[0] * (missing + 0.06)))
        yield from world.go(**_at(push + frame[0] * (missing - 0.1)))
        return
    yield from _walk(world, before)
    yield from world.go(**_at(_place(frame, -hook["length_side1"] - radius - _DEEP, -hook["width"] / 2)))
    for _ in range(12):
        if world.things["hook"]["held"]:
            return
        yield world.change(gap=0.0)
    yield from world.go(gap=_OPEN)
    yield from world.go(**_at(before))


def _frame(thing: dict[str, float]) -> Array:
    """Return the directions of the x and the y of a thing, and its place."""
    c, s = math.cos(thing["theta"]), math.sin(thing["theta"])
    return np.array([[c, s], [-s, c], [thing["x"], thing["y"]]])


def _place(frame: Array, x: float, y: float) -> Array:
    return np.asarray(frame[2] + x * frame[0] + y * frame[1])


def _at(place: Array) -> dict[str, float]:
    return {"x": float(place[0]), "y": float(place[1])}


def _inside(places: Array, radius: float) -> NDArray[np.bool_]:
    """Return whether the base has room at each of these places."""
    low = radius + 0.01
    return np.asarray(((places > low) & (places < (_WIDTH - low, _WALL - low))).all(-1))


def _missing(place: Array, way: Array, radius: float) -> float:
    """Return how far a place must move so that the base has room there."""
    distances = np.arange(0, 2, 0.02)
    inside = _inside(place + distances[:, None] * way, radius)
    return float(distances[inside.argmax()])


def _walk(world: World, end: Array) -> Iterator[Array]:
    """Go round the hook to a place."""
    robot = world.things["robot"]
    nodes = places(_WIDTH, _WALL)
    free = _inside(nodes, robot["base_radius"]) & ~_touches(world, nodes)
    for place in Grid(free, world.place("robot")).way(end) or [end]:
        yield from world.go(**_at(place), slack=0.03)
    yield from world.go(**_at(end))


def _touches(world: World, nodes: Array) -> NDArray[np.bool_]:
    """Return whether the robot, turned as it is, would touch the hook at each of these places."""
    robot, hook = world.things["robot"], world.things["hook"]
    w, long, short = hook["width"], hook["length_side1"], hook["length_side2"]
    ahead = np.array([math.cos(robot["theta"]), math.sin(robot["theta"])])
    frame = _frame(hook)
    hit = np.zeros(nodes.shape[:-1], bool)
    lengths = np.arange(robot["base_radius"] - 0.03, robot["base_radius"] + robot["finger_width"] + 0.01, 0.05)
    gripper = [(x, y, 0.0) for x in lengths for y in np.linspace(-_HALF, _HALF, 7)]
    for x, y, margin in [(0.0, 0.0, robot["base_radius"]), *gripper]:
        points = nodes + x * ahead + y * np.array([-ahead[1], ahead[0]])
        local = (points - frame[2]) @ frame[:2].T
        for box in ((-long, 0, -w, 0), (-w, 0, -short, 0)):
            dx = np.maximum(np.maximum(box[0] - local[..., 0], local[..., 0] - box[1]), 0)
            dy = np.maximum(np.maximum(box[2] - local[..., 1], local[..., 1] - box[3]), 0)
            hit |= np.hypot(dx, dy) < margin + 0.02
    return hit


def _pull(world: World) -> Iterator[Array]:
    """Swing the hook over the block, and draw it in."""
    robot = world.things["robot"]
    radius = robot["base_radius"]
    here = _wrap(robot["theta"])
    turn = -math.pi - here if here < math.pi / 4 else math.pi - here
    yield from world.go(y=radius - 0.03, arm=radius)  # at the wall, the hook is put right in the hand
    yield from world.go(y=0.3, arm=radius)
    yield from world.go(theta=robot["theta"] + turn)
    yield from world.go(x=_beside(world))
    yield from world.go(y=_WALL - radius - 0.01, arm=robot["arm_length"])
    yield from world.go(theta=world.pose()[2] - math.pi / 2)
    for _ in range(40):
        if _beside(world) < world.pose()[0] + 0.02:
            break
        yield world.change(x=_beside(world), y=_WALL - radius - 0.01, arm=robot["arm_length"])
    yield from world.go(y=radius + 0.01, arm=radius)


def _beside(world: World) -> float:
    """Return the x of the robot at which the short side of the hook just reaches over the block."""
    radius, hook, block = world.things["robot"]["base_radius"], world.things["hook"], world.things["target_block"]
    half = block["width"] / 2 * (abs(math.cos(block["theta"])) + abs(math.sin(block["theta"])))
    x = block["x"] + half + _SPARE - hook["length_side2"] + hook["width"] / 2
    return min(max(x, radius + 0.01), _WIDTH - radius - 0.01)


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
