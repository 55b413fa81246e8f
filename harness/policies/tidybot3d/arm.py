"""The robot's arm: where its hand is for given joints, and joints that bring its hand to a place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Vector = NDArray[np.float64]

# The arm with all joints at zero, seen from the base: the axis of each joint, a point on it in metres, and the hand.
AXES = np.array([(0, 0, -1), (0, 1, 0)] * 3 + [(0, 0, -1)], dtype=float)
POINTS = np.array(
    [
        (0.1199, 0, 0),
        (0.1199, 0, 0.67961),
        (0.1199, -0.01175, 0),
        (0.1199, 0, 1.10037),
        (0.1199, -0.0245, 0),
        (0.1199, 0, 1.41473),
        (0.1199, -0.02485, 0),
    ]
)
HAND = np.array((0.1199, -0.02486, 1.70218))
LIMITS = np.array((np.inf, 2.41, np.inf, 2.66, np.inf, 2.23, np.inf))
"""How far each joint turns to either side, in radians."""

_CROSS = np.cross(AXES[:, None], np.eye(3)).transpose(0, 2, 1)
"""The matrices that multiply a vector with the axes."""


def hand(joints: Vector) -> tuple[Vector, Vector, Vector]:
    """Return the hand's rotation matrix, its place in metres from the base, and its Jacobian (6 x 7)."""
    sines, cosines = np.sin(joints)[:, None, None], np.cos(joints)[:, None, None]
    turns = np.eye(3) + sines * _CROSS + (1 - cosines) * _CROSS @ _CROSS
    rotation, shift = np.eye(3), np.zeros(3)
    axes, points = np.empty((7, 3)), np.empty((7, 3))
    for number, turn in enumerate(turns):
        axes[number] = rotation @ AXES[number]
        points[number] = rotation @ POINTS[number] + shift
        rotation = rotation @ turn
        shift = points[number] - rotation @ POINTS[number]
    place = rotation @ HAND + shift
    return rotation, place, np.vstack([np.cross(axes, place - points).T, axes.T])


def reach(place: Vector, rotation: Vector, near: Vector) -> Vector:
    """Return joints close to `near` that bring the hand to `place`, seen from the base, and to this rotation."""
    joints = near.copy()
    for _ in range(200):
        turned, there, jacobian = hand(joints)
        error = np.concatenate([place - there, Rotation.from_matrix(rotation @ turned.T).as_rotvec()])
        if np.abs(error).max() < 1e-4:
            break
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-3 * np.eye(6), error)
        joints = np.clip(joints + np.clip(step, -0.2, 0.2), -LIMITS, LIMITS)
    return joints
