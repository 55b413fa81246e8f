"""Pick a rectangle up with the vacuum, and put it down somewhere else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
from moving import Lattice, Path, along, straight, trail, turning
from scene import Array, Held, Pose, Scene, box, overlaps, rectangles

Step = tuple[Pose, float]
"""Where the robot shall be after an action, and the vacuum: 1 is on."""

_MOST, _FEW = 6, 3  # how many grasps are tried
_AWAY = 0.1  # how far a thing goes that is in the way, at least


def steps(path: Path, vacuum: float) -> list[Step]:
    """Return a path as steps with the vacuum on or off."""
    return [(pose, vacuum) for pose in path]


def grasps(scene: Scene, name: str, spots: int = 5) -> Iterator[Pose]:
    """Yield the poses at which the gripper is just before a side of a thing."""
    for share in sorted(np.linspace(0.1, 0.9, spots), key=lambda share: abs(share - 0.5)):
        for shape in rectangles(scene.things[name]):
            for start, end in zip(shape, np.roll(shape, -1, 0), strict=True):
                inward = math.atan2(end[0] - start[0], start[1] - end[1])
                for arm in np.linspace(scene.reach, scene.radius, 4):
                    x, y = start + share * (end - start)
                    touch = Pose(float(x), float(y), inward, float(arm))
                    yield touch.moved(ahead=-float(arm) - 0.75 * scene.grip_width)


class Hands:
    """Plans how to pick things up and put them down in one scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._fixed = scene.solid()
        self._lattice = Lattice(scene, self._fixed)
        self._home = scene.pose.moved(arm=scene.radius)
        self._flood = self._lattice.flood(self._home)
        self._first: dict[str, list[tuple[Pose, Held]]] = {}
        movable = [name for name, thing in scene.things.items() if name != "robot" and not thing["static"]]
        shapes = [(name, shape) for name in movable for shape in rectangles(scene.things[name])]
        self._names, self._shapes = [name for name, _ in shapes], np.array([shape for _, shape in shapes])

    def brings(self, name: str, goals: Callable[[Held], list[Pose]]) -> list[Step] | None:
        """Return the steps that put a thing down at one of the poses that `goals` returns, or `None`."""
        for start, held in islice(self.holds(name), _MOST):
            if carry := self.carries(start, goals(held), held):
                return [*self.picks(start), *steps(carry, 1), (carry[-1], 0)]
        return None

    def clears(self, names: list[str], *places: Array) -> list[Step]:
        """Return the steps that carry one of these things out of some places, or no steps if there is no way.

        The first things and the first places are preferred. Without places, a thing just goes elsewhere.
        """
        for clear in places or (np.empty((0, 4, 2)),):
            for name in names:
                inside = not places or overlaps(np.array(rectangles(self.scene.things[name])), clear).any()
                if inside and (found := self.removes(name, clear)):
                    return found
        return []

    def removes(self, name: str, clear: Array) -> list[Step] | None:
        """Return the steps that put a thing down nearby, outside of its place and of those of `clear`, or `None`."""
        scene, found = self.scene, []
        shape = rectangles(scene.things[name])[0]
        here = box(*(shape.min(0) - _AWAY), *(shape.max(0) + _AWAY))
        clear = np.concatenate([clear, here[None]])
        if name not in self._first:
            self._first[name] = list(islice(self.holds(name), _FEW))
        for start, held in self._first[name]:
            lattice = Lattice(scene, scene.solid(name), start.theta, held)
            flood = lattice.flood(start.moved(arm=scene.radius))
            outside = (n for n in flood if not overlaps(scene.carried(held, lattice.pose(n)), clear).any())
            if (end := next(outside, None)) is not None:
                way = [lattice.pose(node) for node in trail(flood, end)]
                path = along([start, start.moved(arm=scene.radius), *way])
                found.append([*self.picks(start), *steps(path, 1), (path[-1], 0)])
        return min(found, key=len, default=None)

    def holds(self, name: str) -> Iterator[tuple[Pose, Held]]:
        """Yield the poses at which the robot can take a thing and draw it in, and the thing as it is held."""
        scene, others = self.scene, self.scene.solid(name)
        for grasp in grasps(scene, name):
            draw = straight(grasp, grasp.moved(arm=scene.radius))
            touches = scene.hits([grasp, *draw], self._fixed).any()
            if not touches and self._catches(grasp) == {name} and self._gate(grasp) is not None:
                held = scene.hold(name, grasp)
                if grasp.arm == scene.radius or not scene.hits(draw, others, held).any():
                    yield grasp, held

    def _gate(self, grasp: Pose) -> tuple[int, int] | None:
        return next(
            (node for node in self._lattice.gates(grasp.moved(arm=self.scene.radius)) if node in self._flood), None
        )

    def picks(self, grasp: Pose) -> list[Step]:
        """Return the steps to a grasp, and with the vacuum on."""
        way = [self._lattice.pose(node) for node in trail(self._flood, self._gate(grasp) or (0, 0))]
        before = grasp.moved(arm=self.scene.radius)
        walk = turning(way, grasp.theta, self._home.theta)
        path = along([self.scene.pose, self._home, *walk, before, grasp])
        return [*steps(path, 0), (grasp, 1)]

    def carries(self, start: Pose, goals: list[Pose], held: Held) -> Path | None:
        """Return a path on which the held thing goes to one of these poses. It turns once, where there is room."""
        scene, others, arm = self.scene, self.scene.solid(held.name), self.scene.radius
        here = Lattice(scene, others, start.theta, held)
        out = here.flood(start.moved(arm=arm))
        for goal in goals:
            before = goal.moved(arm=arm)
            if not out or scene.hits([before, *straight(before, goal)], others, held).any():
                continue
            there = Lattice(scene, others, goal.theta, held)
            back = there.flood(before)
            both = [node for node in back if node in out]
            for node in both[:: max(1, len(both) // 40)]:
                turn = straight(here.pose(node), there.pose(node))
                if not scene.hits(turn, others, held).any():
                    way = [here.pose(n) for n in trail(out, node)]
                    home = [there.pose(n) for n in trail(back, node)[::-1]]
                    return along([start, start.moved(arm=arm), *way, *home, before, goal])
        return None

    def _catches(self, pose: Pose) -> set[str]:
        """Return the names of the movable things that the vacuum catches at a pose."""
        caught = overlaps(self.scene.suction(pose)[None], self._shapes, 0)[0]
        return {name for name, hit in zip(self._names, caught, strict=True) if hit}
