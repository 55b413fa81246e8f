"""The robot of the worlds of MuJoCo. Its base and joints need time to move, so its motions watch where they are.

The arm stays in the upright plane in front of the robot. Driving and turning bring this plane where it is needed. The
base is fast and the arm is slow, so the base always keeps the hand over its goal while the arm is on its way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from world import Motion, Vector, World

_BASE = ("pos_base_x", "pos_base_y", "pos_base_rot")
_JOINTS = tuple(f"pos_arm_joint{number}" for number in range(1, 8))
_SPEEDS = tuple(f"vel_arm_joint{number}" for number in range(1, 8))
_STEP = 0.1
"""How many seconds a step takes."""
_PULL = np.array([1.1] * 3 + [1.75] * 7)
_KEEP = 0.15
"""An action asks the base for a little more than what is left, as it falls a little short. It asks a joint for so much
of what is left and so much of its speed, as the joints are braked by their speed at the last action."""
_SHOULDER = np.array((0.1199, 0.67961))
_UPPER, _LOWER, _HAND = 0.42076, 0.31436, 0.28745
"""Where the shoulder is, in front of the middle of the base and over the floor, and the lengths of the arm's links."""


@dataclass(frozen=True)
class Stance:
    """How the hand is held: `ahead` metres in front of the middle of the base, which looks along `heading`.

    It points down, or `pitch` radians forward from there. Without `roll`, its fingers close sideways.
    """

    ahead: float
    pitch: float = 0.0
    roll: float = 0.0
    heading: float = 0.0

    def joints(self, height: float) -> Vector:
        """Return the joints that bring the hand to a height over the floor."""
        back = _HAND * np.array((np.sin(self.pitch), -np.cos(self.pitch)))
        wrist = np.array((self.ahead, height)) - back - _SHOULDER
        far = np.hypot(*wrist)
        bend = np.arccos(np.clip((far**2 - _UPPER**2 - _LOWER**2) / (2 * _UPPER * _LOWER), -1, 1))
        lean = np.arctan2(*wrist) - np.arctan2(_LOWER * np.sin(bend), _UPPER + _LOWER * np.cos(bend))
        return np.array((0, lean, np.pi, -bend, 0, lean + bend + self.pitch - np.pi, np.pi / 2 + self.roll))


def hand_of(joints: Vector) -> Vector:
    """Return how far in front of the middle of the base the hand is, and how high over the floor."""
    angles = np.cumsum(joints[[1, 3, 5]] * (1, -1, -1))
    links = np.array((_UPPER, _LOWER, _HAND))
    return np.asarray(_SHOULDER + np.array((links @ np.sin(angles), links @ np.cos(angles))))


class Motors:
    """Moves the base, the arm and the fingers. `grip` is from 0, where the hand is open, to 1, where it is closed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.grip = 0.0

    def hand(self) -> Vector:
        """Return where the hand is."""
        x, y, heading = self.world.read("robot", *_BASE)
        ahead, height = hand_of(self.world.read("robot", *_JOINTS))
        return np.array((x + ahead * np.cos(heading), y + ahead * np.sin(heading), height))

    def fingers(self, grip: float, steps: int = 4) -> Motion:
        """Open or close the fingers."""
        self.grip = grip
        for _ in range(steps):
            yield np.append(np.zeros(10), grip)

    def move(self, place: Vector, stance: Stance, near: float = 0.004, steps: int = 150) -> Motion:
        """Bring the hand to a place. Stop when base and joints are `near` to their goals, or after so many steps."""
        goal, forward = stance.joints(place[2]), np.array((np.cos(stance.heading), np.sin(stance.heading)))
        for _ in range(steps):
            joints, speeds = self.world.read("robot", *_JOINTS), self.world.read("robot", *_SPEEDS)
            ahead = hand_of(joints + _STEP * speeds)[0]
            base = np.append(place[:2] - ahead * forward, stance.heading)
            left = np.concatenate([base - self.world.read("robot", *_BASE), goal - joints])
            left[2] = np.remainder(left[2] + np.pi, 2 * np.pi) - np.pi
            if np.abs(left).max() < near:
                return
            wanted = _PULL * left
            wanted[3:] += _KEEP * speeds
            yield np.append(np.clip(wanted, -self.world.most, self.world.most), self.grip)
