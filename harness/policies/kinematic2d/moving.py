"""Ways for the robot and what it holds, over a lattice whose neighbours are one step apart.

The world checks for collisions only where a step ends, so that a way is free if its nodes are.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import islice, pairwise

import numpy as np
from scene import MARGIN, Array, Held, Pose, Scene, distances

Path = list[Pose]
Node = tuple[int, int]

_PRECISION = 1 - 1e-3  # stay inside the bounds of an action after its rounding to float32
LIMITS = np.array([0.05, 0.05, math.pi / 16, 0.1]) * _PRECISION
"""The largest change of x, y, theta and arm in one step."""
_ROUNDING = 1e-6  # two neighbours of a lattice are one step apart: the place between them may not be free
_STRIDE = float(LIMITS[0])
_REACH = 5  # how many nodes away a pose may be joined
_ROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


def wrapped(angle: float) -> float:
    """Return the angle in [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def difference(start: Pose, end: Pose) -> Array:
    """Return the change of x, y, theta and arm from one pose to another."""
    return np.array([end.x - start.x, end.y - start.y, wrapped(end.theta - start.theta), end.arm - start.arm])


def straight(start: Pose, end: Pose) -> Path:
    """Return the poses of the steps that lead straight from one pose to another."""
    change = difference(start, end)
    steps = max(1, math.ceil(float((np.abs(change) / LIMITS).max()) - _ROUNDING))
    first = np.array([start.x, start.y, start.theta, start.arm])
    return [Pose(*map(float, first + change * step / steps)) for step in range(1, steps + 1)]


def along(corners: Path) -> Path:
    """Return the poses of the steps that lead straight from corner to corner, without the first corner."""
    return [pose for start, end in pairwise(corners) if start != end for pose in straight(start, end)]


class Lattice:
    """The nodes that are free for a robot with its arm drawn in.

    With a `theta`, the robot keeps that direction, and may hold something. Without, it can turn everywhere.
    """

    def __init__(self, scene: Scene, obstacles: Array, theta: float | None = None, held: Held | None = None) -> None:
        self._scene, self._obstacles, self._held = scene, obstacles, held
        self.theta = theta
        self._arm = scene.radius
        self.shape = (int(scene.size[0] / _STRIDE) + 1, int(scene.size[1] / _STRIDE) + 1)
        nodes = np.argwhere(np.ones(self.shape, bool))
        if theta is None:
            wide = math.hypot(scene.radius + scene.grip_width / 2, scene.grip_height / 2) + MARGIN
            near = np.concatenate([obstacles, scene.floor])
            free = (distances(np.array(nodes * _STRIDE), near) > wide).all(1)
        else:
            free = ~scene.hits([self.pose((int(i), int(j))) for i, j in nodes], obstacles, held)
        self.free = np.asarray(free).reshape(self.shape)

    def pose(self, node: Node) -> Pose:
        """Return the pose at a node."""
        return Pose(node[0] * _STRIDE, node[1] * _STRIDE, self.theta or 0, self._arm)

    def gates(self, pose: Pose) -> list[Node]:
        """Return the free nodes close to a pose from which the robot can go straight to the pose, and back."""
        i, j = round(pose.x / _STRIDE), round(pose.y / _STRIDE)
        nodes = sorted(
            ((i + di, j + dj) for di in range(-_REACH, _REACH + 1) for dj in range(-_REACH, _REACH + 1)),
            key=lambda node: math.hypot(node[0] * _STRIDE - pose.x, node[1] * _STRIDE - pose.y),
        )
        gates = (node for node in nodes if self._inside(node) and self.free[node] and self._joined(pose, node))
        return list(islice(gates, 4))

    def _inside(self, node: Node) -> bool:
        return 0 <= node[0] < self.shape[0] and 0 <= node[1] < self.shape[1]

    def _joined(self, pose: Pose, node: Node) -> bool:
        there = self.pose(node).moved(theta=pose.theta)
        path = [*straight(pose, there), *straight(there, pose)[:-1]]
        return not self._scene.hits(path, self._obstacles, self._held).any()

    def flood(self, start: Pose) -> dict[Node, Node | None]:
        """Return the nodes that can be reached from a pose, the nearest first, each with the node before it."""
        before: dict[Node, Node | None] = dict.fromkeys(self.gates(start))
        queue = deque(before)
        while queue:
            i, j = node = queue.popleft()
            for di, dj in _ROUND:
                there = (i + di, j + dj)
                if self._inside(there) and there not in before and self.free[there]:
                    before[there] = node
                    queue.append(there)
        return before


def trail(flood: dict[Node, Node | None], end: Node) -> list[Node]:
    """Return the nodes from the start of a flood to a node."""
    nodes, node = [], flood[end]
    while node is not None:
        nodes.append(node)
        node = flood[node]
    return [*nodes[::-1], end]


def turning(path: Path, theta: float, now: float) -> Path:
    """Return a path on which the robot turns on its way to a direction, and at the end of the way if need be."""
    found: Path = []
    for pose in path:
        found.append(pose.moved(theta=now))  # the start may have no room to turn, but every node has
        now += float(np.clip(wrapped(theta - now), -LIMITS[2], LIMITS[2]))
    return [*found, *straight(found[-1], found[-1].moved(theta=theta))]
