"""VegaMotion3D: bring the hand of the right arm to within 0.1 m of a point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Vector = NDArray[np.float64]

# The arm with all joints at zero: the axis of each joint, a point on it, and the hand.
AXES = np.array([(0, -1, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 0, 0), (0, -1, 0), (0, 0, 1)], dtype=float)
POINTS = np.array(
    [
        (0.02335, 0, 1.05582),
        (0.06335, -0.22946, 0),
        (0, -0.22946, 1.05822),
        (0.34075, 0, 1.11822),
        (0, -0.22956, 1.07822),
        (0.61075, 0, 1.07822),
        (0.67575, -0.22946, 0),
    ]
)
HAND = np.array((0.99172, -0.22946, 1.07812))


def hand(joints: Vector) -> tuple[Vector, Vector]:
    """Return where the hand is, in metres, and how each joint moves it (3 x 7)."""
    rotation, shift = Rotation.identity(), np.zeros(3)
    axes, points = [], []
    for angle, axis, point in zip(joints, AXES, POINTS, strict=True):
        axes.append(rotation.apply(axis))
        points.append(rotation.apply(point) + shift)
        turn = Rotation.from_rotvec(angle * axis)
        shift = rotation.apply(point - turn.apply(point)) + shift
        rotation = rotation * turn
    place = rotation.apply(HAND) + shift
    return place, np.transpose([np.cross(axis, place - point) for axis, point in zip(axes, points, strict=True)])


class GeneratedApproach:
    """Move the hand straight towards the target. Where the arm would hit the robot, shake it."""

    def __init__(self, action_space: Any, observation_space: Any, primitives: Any = None) -> None:
        del primitives
        self._space = observation_space
        self._most = float(action_space.high[0]) * 0.999  # inside the bounds of an action in float32 too

    def reset(self, state: Any, info: Any) -> None:
        """Begin an episode."""
        del state, info
        self._random = np.random.default_rng(0)
        self._before = np.zeros(7)

    def get_action(self, state: Any) -> Any:
        """Return the change of each joint."""
        state = self._space.devectorize(state) if isinstance(state, np.ndarray) else state
        robot, target = (state.get_object_from_name(name) for name in ("robot", "target"))
        joints = np.array([state.get(robot, f"joint_{number}") for number in range(1, 8)], dtype=float)
        place, jacobian = hand(joints)
        away = np.array([state.get(target, axis) for axis in "xyz"], dtype=float) - place
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 0.01 * np.eye(3), away)
        if np.allclose(self._before, joints):
            step = self._random.uniform(-1, 1, 7)
        self._before = joints
        return np.clip(step, -self._most, self._most).astype(np.float32)
