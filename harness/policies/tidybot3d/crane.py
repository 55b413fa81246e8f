"""A crane made of the robot: the base drives to and fro, the arm goes only up and down with the hand below it."""

from __future__ import annotations

import numpy as np
from arm import reach
from scipy.spatial.transform import Rotation
from world import Motion, Vector, World, up

TOUCH = 0.032
"""How far above a thing the hand touches it, in metres: its fingers reach 0.029 below it, its grip 0.035."""
GAP = 0.002
"""A thing is let go this far above what it shall stand on, in metres."""

_DOWN = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
_TURNS = np.radians((0, 90, 45, -45))


class Crane:
    """Moves the hand, which hangs `ahead` metres in front of the base.

    `floor` is the height of the floor, `high` that at which things are carried, and `heading` where the robot looks.
    """

    def __init__(
        self, world: World, high: float, floor: float = 0.0, ahead: float = 0.62, heading: float = 0.0
    ) -> None:
        self.world = world
        self.high = high
        self.floor = floor
        self.ahead = ahead
        self.heading = heading

    def carry(self, name: str, top: Vector, shift: Vector) -> Motion:
        """Grip a thing at its `top` and move it by `shift`. Where the hand fails to, turn it and try again."""
        top = top + up(TOUCH)
        for turn in _TURNS:
            yield from self.sink(top, turn)
            yield from self.grip()
            yield from self.rise(top, turn)
            if self.world.things[name]["grasp_active"]:
                yield from self.sink(top + shift, turn)
                yield from self.release()
                yield from self.rise(top + shift, turn)
                return

    def sink(self, place: Vector, turn: float = 0.0) -> Motion:
        """Bring the hand over a place, and then straight down to it."""
        for height in reversed(self._heights(place)):
            yield from self.move(place + up(height), turn)

    def rise(self, place: Vector, turn: float = 0.0) -> Motion:
        """Bring the hand from a place straight up."""
        for height in self._heights(place):
            yield from self.move(place + up(height), turn)

    def _heights(self, place: Vector) -> list[float]:
        """Return how high above a place the hand stops: near to it after each centimetre, farther up less often."""
        return [*np.arange(0, 0.06, 0.01), *np.arange(0.06, self.high - place[2], 0.1), self.high - place[2]]

    def move(self, place: Vector, turn: float = 0.0) -> Motion:
        """Bring the hand to a place. On the way it may leave the straight line a little."""
        world = self.world
        turned = Rotation.from_euler("z", turn).as_matrix() @ _DOWN
        joints = reach(np.array([self.ahead, 0.0, place[2] - self.floor]), turned, self._now()[3:])
        behind = self.ahead * np.array((np.cos(self.heading), np.sin(self.heading)))
        goal = np.concatenate([place[:2] - behind, [self.heading], joints])
        for _ in range(60):  # more than any move takes, unless something is in the way
            left = goal - self._now()
            if np.abs(left).max() < 1e-4:
                return
            yield np.append(left * min(1.0, world.most / np.abs(left).max()), 0.0)

    def _now(self) -> Vector:
        joints = (f"joint_{number}" for number in range(1, 8))
        return self.world.read("robot", "pos_base_x", "pos_base_y", "pos_base_rot", *joints)

    def grip(self) -> Motion:
        """Close the hand."""
        yield np.append(np.zeros(10), -1.0)

    def release(self) -> Motion:
        """Open the hand."""
        yield np.append(np.zeros(10), 1.0)
