"""The T: its outline, how it moves when it is pushed, and the ways round it."""

from __future__ import annotations

import math

import numpy as np
from grid import Grid, places
from numpy.typing import NDArray
from world import Array

_SIZE = 5.0  # the world is a square
_SPACING = 0.1  # of the points on the outline


class Tee:
    """A T at a place. Its origin is in the middle of the top; the bar is below it, and the stem below the bar."""

    def __init__(self, thing: dict[str, float]) -> None:
        self.x, self.y, self.theta = thing["x"], thing["y"], thing["theta"]
        w, bar, stem = thing["width"], thing["length_horizontal"], thing["length_vertical"]
        self._boxes = ((bar, w, -w / 2), (w, stem, -w - stem / 2))  # width, height, and y of the middle
        areas = np.array([width * height for width, height, _ in self._boxes])
        middle = sum(area * y for area, (_, _, y) in zip(areas, self._boxes, strict=True)) / areas.sum()
        self.centre = np.array([0.0, middle])
        own = [(width**2 + height**2) / 12 + (y - middle) ** 2 for width, height, y in self._boxes]
        self._gyration = float((areas * own).sum() / areas.sum())  # the moment of inertia of a unit of mass
        self._sides = [
            ((-bar / 2, 0), (bar / 2, 0)),
            ((bar / 2, 0), (bar / 2, -w)),
            ((bar / 2, -w), (w / 2, -w)),
            ((w / 2, -w), (w / 2, -w - stem)),
            ((w / 2, -w - stem), (-w / 2, -w - stem)),
            ((-w / 2, -w - stem), (-w / 2, -w)),
            ((-w / 2, -w), (-bar / 2, -w)),
            ((-bar / 2, -w), (-bar / 2, 0)),
        ]

    def outline(self) -> tuple[Array, Array]:
        """Return points of the outline, and the direction outwards at each."""
        points, normals = [], []
        for start, end in self._sides:
            along = np.subtract(end, start)
            length = float(np.linalg.norm(along))
            for share in np.linspace(0, 1, max(1, int(length / _SPACING)) + 2)[1:-1]:
                points.append(np.array(start) + share * along)
                normals.append(np.array([-along[1], along[0]]) / length)
        matrix = _matrix(self.theta)
        return np.array(points) @ matrix.T + (self.x, self.y), np.array(normals) @ matrix.T

    def distances(self, points: Array) -> Array:
        """Return the distance of each point from the T, 0 inside."""
        local = (points - (self.x, self.y)) @ _matrix(self.theta)
        parts = []
        for width, height, y in self._boxes:
            outside = np.maximum(np.abs(local - (0, y)) - (width / 2, height / 2), 0)
            parts.append(np.linalg.norm(outside, axis=-1))
        return np.asarray(np.minimum(*parts))

    def error(self, goal: Tee, arm: float) -> float:
        """Return how far the T is from its goal: the distance, and `arm` for each radian."""
        return float(_error(np.array([[self.x, self.y, self.theta]]), goal, arm)[0])

    def pushed(self, points: Array, normals: Array, steps: Array, count: int, goal: Tee, arm: float) -> Array:
        """Return the error after each of `count` steps of each push. A push that would slip has an infinite error."""
        matrix = _matrix(self.theta)
        poses = np.tile([self.x, self.y, self.theta], (len(points), 1))
        touched = (points - (self.x, self.y)) @ matrix  # in the frame of the T
        outwards = normals @ matrix
        errors, slipped = [], np.zeros(len(points), bool)
        for _ in range(count):
            turned = np.array([_matrix(theta) for theta in poses[:, 2]])
            lever = np.einsum("nij,nj->ni", turned, touched - self.centre)
            normal = np.einsum("nij,nj->ni", turned, outwards)
            across = np.stack([-lever[:, 1], lever[:, 0]], -1)
            mobility = np.eye(2) + np.einsum("ni,nj->nij", across, across) / self._gyration
            force = np.linalg.solve(mobility, steps[..., None])[..., 0]
            slipped |= -(force * normal).sum(-1) < _GRIP * np.linalg.norm(force, axis=-1)
            spin = (across * force).sum(-1) / self._gyration
            middle = poses[:, :2] + np.einsum("nij,j->ni", turned, self.centre) + force
            poses[:, 2] += spin
            after = np.array([_matrix(theta) for theta in poses[:, 2]])
            poses[:, :2] = middle - np.einsum("nij,j->ni", after, self.centre)
            errors.append(np.where(slipped, np.inf, _error(poses, goal, arm)))
        return np.stack(errors, -1)


_GRIP = math.cos(math.radians(40))  # how straight a force must be, so that the robot does not slip: friction is 1


def ways(tee: Tee, robot: Array, radius: float, ends: Array) -> dict[int, list[Array]]:
    """Return the ways of the robot round the T to each of these points that it can reach, by the point's index."""
    nodes = places(_SIZE, _SIZE)
    grid = Grid(_within(nodes, radius + 0.02) & (tee.distances(nodes) > radius + 0.03), robot)
    found: dict[int, list[Array]] = {}
    usable = _within(ends, radius) & (tee.distances(ends) > radius + 0.01)
    for index, end in enumerate(ends):
        if np.linalg.norm(end - robot) < 0.04:
            found[index] = []
        elif usable[index] and (way := grid.way(end)):
            found[index] = way
    return found


def _within(points: Array, edge: float) -> NDArray[np.bool_]:
    return np.asarray(((points > edge) & (points < _SIZE - edge)).all(-1))


def _matrix(theta: float) -> Array:
    c, s = math.cos(theta), math.sin(theta)
    return np.array([[c, -s], [s, c]])


def _error(poses: Array, goal: Tee, arm: float) -> Array:
    aim = min(max(goal.theta, -math.pi + 0.07), math.pi - 0.07)  # an angle must not pass pi, where it would jump
    turn = (poses[:, 2] - aim + math.pi) % (2 * math.pi) - math.pi
    return np.asarray(np.linalg.norm(poses[:, :2] - (goal.x, goal.y), axis=-1) + arm * np.abs(turn))
