"""The arm of the mobile robot: where its hand is for given joints, and joints that bring its hand to a place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Vector = NDArray[np.float64]

SHOULDER, ELBOW, WRIST, HAND = 0.67961, 1.10037, 1.41473, 1.70218
AXES = np.array([(0, 0, -1), (0, 1, 0)] * 3 + [(0, 0, -1)], dtype=float)
POINTS = np.array(
    [
        (0.1199, 0, 0),
        (0.1199, 0, SHOULDER),
        (0.1199, -0.01175, 0),
        (0.1199, 0, ELBOW),
        (0.1199, -0.0245, 0),
        (0.1199, 0, WRIST),
        (0.1199, -0.02485, 0),
    ]
)
LIMITS = np.array((np.inf, 2.41, np.inf, 2.66, np.inf, 2.23, np.inf))
HAND_AT_ZERO = np.array((0.1199, -0.02486, HAND))


def hand(joints: Vector) -> tuple[Rotation, Vector, Vector]:
    """Return the hand's rotation, its place in metres from the base, and its Jacobian (6 x 7)."""
    rotation, shift = Rotation.identity(), np.zeros(3)
    axes, points = [], []
    for angle, axis, point in zip(joints, AXES, POINTS, strict=True):
        axes.append(rotation.apply(axis))
        points.append(rotation.apply(point) + shift)
        turn = Rotation.from_rotvec(angle * axis)
        shift = rotation.apply(point - turn.apply(point)) + shift
        rotation = rotation * turn
    place = rotation.apply(HAND_AT_ZERO) + shift
    moves = [np.cross(axis, place - point) for axis, point in zip(axes, points, strict=True)]
    return rotation, place, np.vstack([np.transpose(moves), np.transpose(axes)])


def reach(place: Vector, rotation: Rotation, near: Vector) -> Vector:
    """Return joints close to `near` that bring the hand to `place`, seen from the base."""
    joints = near.copy()
    for _ in range(200):
        turned, there, jacobian = hand(joints)
        error = np.concatenate([place - there, (rotation * turned.inv()).as_rotvec()])
        if np.abs(error).max() < 1e-4:
            break
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-3 * np.eye(6), error)
        joints = np.clip(joints + np.clip(step, -0.2, 0.2), -LIMITS, LIMITS)
    return joints
