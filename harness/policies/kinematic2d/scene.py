"""The world as rectangles and discs: read a state, and ask which robot poses are free of collisions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Features = dict[str, float]

MARGIN = 1e-3
"""How far apart things stay, in units of the world. It hides the rounding of an observation to float32."""
_NOTHING = 101  # the layer that touches nothing
_FAR = 9.0  # how thick walls are here


def features(state: Any) -> dict[str, Features]:
    """Return the features of each object of an `ObjectCentricState`, by the object's name."""
    return {
        thing.name: {name: float(state.get(thing, name)) for name in state.type_features[thing.type]} for thing in state
    }


def turn(angle: Any) -> Array:
    """Return the matrix that rotates by an angle, or one matrix for each angle of an array."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def box(x0: float, y0: float, x1: float, y1: float) -> Array:
    """Return the corners of an upright rectangle."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def corners(thing: Features) -> Array:
    """Return the corners of a rectangle, counter-clockwise."""
    local = box(0, 0, thing["width"], thing["height"])
    return local @ turn(thing["theta"]).T + (thing["x"], thing["y"])


def rectangles(thing: Features) -> list[Array]:
    """Return the rectangles that cover a thing: one for a rectangle or a disc, two for an L or a shelf."""
    if "length_side1" in thing:
        w, long, short = thing["width"], thing["length_side1"], thing["length_side2"]
        place = np.array((thing["x"], thing["y"]))
        parts = [box(-long, -w, 0, 0), box(-w, -short, 0, -w)]
        return [part @ turn(thing["theta"]).T + place for part in parts]
    if "x1" in thing:  # a shelf with a bookend at each side
        y0, y1, left, right = thing["y"], thing["y"] + thing["height"], thing["x1"], thing["x1"] + thing["width1"]
        return [box(thing["x"], y0, left, y1), box(right, y0, thing["x"] + thing["width"], y1)]
    if "radius" in thing:
        r = thing["radius"]
        return [box(thing["x"] - r, thing["y"] - r, thing["x"] + r, thing["y"] + r)]
    return [corners(thing)]


def overlaps(one: Array, other: Array, margin: float = MARGIN) -> NDArray[np.bool_]:
    """Return, for each rectangle of `one` (n, 4, 2) and each of `other` (m, 4, 2), whether they come within `margin`.

    Two rectangles are apart if one of their four directions separates their shadows. Most are so far apart that their
    upright frames do not meet, which costs less to see.
    """
    low, high = one.min(1)[:, None] - margin, one.max(1)[:, None] + margin
    found = ((low < other.max(1)) & (high > other.min(1))).all(-1)
    first, second = np.nonzero(found)
    found[first, second] = ~(_apart(one[first], other[second], margin) | _apart(other[second], one[first], margin))
    return np.asarray(found)


def _apart(one: Array, other: Array, margin: float) -> NDArray[np.bool_]:
    """Return, for each rectangle of `one` and that of `other`, whether a direction of the first separates the two."""
    edges = one[:, 1:3] - one[:, 0:2]
    normal = np.stack([-edges[..., 1], edges[..., 0]], -1)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    mine, theirs = normal @ one.swapaxes(1, 2), normal @ other.swapaxes(1, 2)
    above = theirs.min(-1) >= mine.max(-1) + margin
    below = theirs.max(-1) <= mine.min(-1) - margin
    return np.asarray((above | below).any(-1))


def distances(points: Array, quads: Array) -> Array:
    """Return the distance of each point (n, 2) from each rectangle (m, 4, 2), 0 inside."""
    edges = quads[:, 1:3] - quads[:, 0:2]  # two sides of each rectangle
    sizes = np.linalg.norm(edges, axis=-1)
    local = np.einsum("nmd,mad->nma", points[:, None] - quads[None, :, 1], np.stack([-edges[:, 0], edges[:, 1]], 1))
    local = local / sizes
    outside = np.maximum(np.maximum(-local, local - sizes), 0)
    return np.asarray(np.linalg.norm(outside, axis=-1))


@dataclass(frozen=True)
class Pose:
    """Where the robot is: its base, the direction of its arm, and the distance from base to gripper."""

    x: float
    y: float
    theta: float
    arm: float

    def moved(self, ahead: float = 0, **changes: float) -> Pose:
        """Return a pose with some values changed, and the base moved ahead along the arm."""
        values = {**vars(self), **changes}
        values["x"] += ahead * math.cos(self.theta)
        values["y"] += ahead * math.sin(self.theta)
        return Pose(**values)


@dataclass(frozen=True)
class Held:
    """A thing in the gripper: its rectangles and its pose in the frame of the gripper, and its name."""

    name: str
    shape: Array
    x: float
    y: float
    theta: float


class Scene:
    """One state of a world with walls around the rectangle (0, 0) to `size`."""

    def __init__(self, things: dict[str, Features], size: tuple[float, float], floor: Array | None = None) -> None:
        self.things = things
        self.size = size
        self.floor = np.empty((0, 4, 2)) if floor is None else floor
        robot = things["robot"]
        self.radius, self.reach = robot["base_radius"], robot["arm_length"]
        self.grip_width, self.grip_height = robot["gripper_width"], robot["gripper_height"]
        self.pose = Pose(robot["x"], robot["y"], robot["theta"], robot["arm_joint"])

    @cached_property
    def walls(self) -> Array:
        """Return the four walls."""
        w, h = self.size
        return np.array(
            [box(-9, -9, 0, h + 9), box(w, -9, w + 9, h + 9), box(-9, -9, w + 9, 0), box(-9, h, w + 9, h + 9)]
        )

    def solid(self, *without: str) -> Array:
        """Return the rectangles that arm and base must not touch: walls, and things but for those named."""
        found = list(self.walls)
        for name, thing in self.things.items():
            if name not in {"robot", *without} and thing["z_order"] != _NOTHING:
                found += rectangles(thing)
        return np.array(found)

    def hold(self, name: str, pose: Pose) -> Held:
        """Return a thing as a gripper at this pose holds it."""
        thing, tool = self.things[name], self._tool(pose)
        back = turn(pose.theta).T
        x, y = back @ (np.array([thing["x"], thing["y"]]) - tool)
        shape = (np.array(rectangles(thing)) - tool) @ back.T
        return Held(name, shape, x, y, thing["theta"] - pose.theta)

    def placed(self, held: Held, x: float, y: float, theta: float, arm: float) -> Pose:
        """Return the pose at which the held thing has its origin at (x, y) and the direction theta."""
        mine = theta - held.theta
        tool = np.array([x, y]) - turn(mine) @ (held.x, held.y)
        base = tool - turn(mine) @ (arm + self.grip_width / 2, 0)
        return Pose(float(base[0]), float(base[1]), mine, arm)

    def carried(self, held: Held, pose: Pose) -> Array:
        """Return the rectangles of the held thing when the robot is at a pose."""
        return held.shape @ turn(pose.theta).T + self._tool(pose)

    def suction(self, pose: Pose) -> Array:
        """Return the area in front of the gripper in which the vacuum catches things."""
        g, h = self.grip_width, self.grip_height / 2
        local = box(pose.arm + g, -h, pose.arm + 2 * g, h)
        return local @ turn(pose.theta).T + (pose.x, pose.y)

    def hits(self, poses: list[Pose], obstacles: Array, held: Held | None = None) -> NDArray[np.bool_]:
        """Return for each pose whether the robot, with what it holds, touches an obstacle there."""
        values = np.array([[p.x, p.y, p.theta, p.arm] for p in poses])
        places, arms = values[:, :2], values[:, 3]
        found = np.asarray((distances(places, np.concatenate([obstacles, self.floor])) < self.radius + MARGIN).any(1))
        rest = np.nonzero(~found)[0]
        body = np.einsum("nij,npkj->npki", turn(values[rest, 2]), self._body(arms[rest], held))
        body += places[rest, None, None]
        found[rest] = overlaps(body.reshape(-1, 4, 2), obstacles).any(1).reshape(len(rest), body.shape[1]).any(1)
        return found

    def _body(self, arms: Array, held: Held | None) -> Array:
        """Return gripper, arm and held thing for each length of the arm, in the frame of the robot."""
        g, h = self.grip_width / 2, self.grip_height / 2
        parts = [box(-g, -h, g, h)] if held is None else [box(-g, -h, g, h), *(held.shape + np.array([g, 0]))]
        hand = np.array(parts)[None] + np.stack([arms, np.zeros_like(arms)], -1)[:, None, None]
        bar = box(0, -g / 2, 1, g / 2)[None] * np.stack([arms, np.ones_like(arms)], -1)[:, None]
        return np.concatenate([hand, bar[:, None]], 1)

    def _tool(self, pose: Pose) -> Array:
        ahead = pose.arm + self.grip_width / 2
        return np.array([pose.x + ahead * math.cos(pose.theta), pose.y + ahead * math.sin(pose.theta)])
