"""A hoist made of the robot, for worlds with masses and forces: the arm is as slow as its motors are weak."""

from __future__ import annotations

import numpy as np
from arm import reach
from scipy.spatial.transform import Rotation
from world import Motion, Vector, World, up

DOWN = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
"""The hand's rotation when it hangs down."""
NEAR = np.radians((0, 0, 180, -120, 0, -60, 90))
"""Joints at which it does."""
PULL, BRAKE = 1.5, 0.15
"""How hard the arm's motors pull for each radian that is left, and what makes up for their own brakes."""
BASE = np.array((0.005, 0.005, 0.01))
CLOSE = np.concatenate([BASE, np.full(7, 0.01)])
"""How close to its goal the robot must be, in metres and radians."""


class Hoist:
    """Moves the hand, which hangs `ahead` metres in front of the base, which looks along `heading`."""

    def __init__(self, world: World, ahead: float = 0.62, heading: float = 0.0) -> None:
        self.world = world
        self.ahead = ahead
        self.heading = heading
        self.closed = 0.0
        """How far the hand is closed: from 0, open, to 1."""
        self.quick = world.most
        """How far the base goes in one action at most, in metres."""

    def move(self, place: Vector, turn: float = 0.0, steps: int = 120) -> Motion:
        """Bring the hand to a place, turned as if it had been turned around a vertical axis."""
        turned = Rotation.from_euler("z", turn).as_matrix() @ DOWN
        joints = reach(np.array([self.ahead, 0.0, place[2]]), turned, NEAR)
        behind = self.ahead * np.array((np.cos(self.heading), np.sin(self.heading)))
        yield from self.go(np.concatenate([place[:2] - behind, [self.heading], joints]), steps)

    def go(self, goal: Vector, steps: int = 120) -> Motion:
        """Bring the base (x, y, rotation) and the joints to these values."""
        for _ in range(steps):
            left = goal - self.now()
            if (np.abs(left) < CLOSE).all():
                return
            yield self.towards(left)

    def towards(self, left: Vector) -> Vector:
        """Return the action that goes this way."""
        arm = PULL * left[3:] + BRAKE * self.world.read("robot", *(f"vel_arm_joint{number}" for number in range(1, 8)))
        base = left[:3] * min(1.0, self.quick / max(np.abs(left[:3]).max(), 1e-9))
        return np.append(np.clip(np.append(base, arm), -self.world.most, self.world.most), self.closed)

    def now(self) -> Vector:
        """Return where the base and the joints are."""
        joints = (f"pos_arm_joint{number}" for number in range(1, 8))
        return self.world.read("robot", "pos_base_x", "pos_base_y", "pos_base_rot", *joints)

    def hold(self, closed: float, steps: int) -> Motion:
        """Close or open the hand, and wait."""
        self.closed = closed
        still = self.now()
        for _ in range(steps):
            yield self.towards(still - self.now())

    def take(self, place: Vector, turn: float, high: float) -> Motion:
        """Go over a place, down to it, close the hand and go up."""
        yield from self.move(np.append(place[:2], high), turn)
        yield from self.move(place + up(0.08), turn)
        yield from self.move(place, turn)
        yield from self.hold(1.0, 8)
        yield from self.move(np.append(place[:2], high), turn)
