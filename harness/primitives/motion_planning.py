"""Motion planning among obstacles, for states of any kind. This file needs only the standard library and NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import numpy as np

S = TypeVar("S")


class BiRRT(Generic[S]):
    """A bidirectional rapidly-exploring random tree: it looks for a path without collisions between two states.

    `sample_fn(state)` returns a random state, `extend_fn(one, other)` the states on the way from one to the other (with
    the other, and without the one), `collision_fn(state)` whether a state is in collision, and `distance_fn(one,
    other)` how far they are apart, as a number of any unit. `rng` is a `numpy.random.Generator`. A query makes
    `num_attempts` attempts, each with `num_iters` samples. It then tries `smooth_amt` times to shorten the path. The
    same arguments and the same state of `rng` give the same path.
    """

    def __init__(
        self,
        sample_fn: Callable[[S], S],
        extend_fn: Callable[[S, S], Iterable[S]],
        collision_fn: Callable[[S], bool],
        distance_fn: Callable[[S, S], float],
        rng: np.random.Generator,
        num_attempts: int,
        num_iters: int,
        smooth_amt: int,
    ) -> None:
        self._sample, self._extend = sample_fn, extend_fn
        self._collides, self._distance = collision_fn, distance_fn
        self._rng, self._attempts, self._iterations, self._smoothings = rng, num_attempts, num_iters, smooth_amt

    def query(self, start: S, goal: S) -> list[S] | None:
        """Return a path from `start` to `goal`, both included, or `None` if none was found.

        Each state of the path follows the one before in an extension, and none is in collision.
        """
        if self._collides(start) or self._collides(goal):
            return None
        path = self.try_direct_path(start, goal)
        attempts = 0
        while path is None and attempts < self._attempts:
            path = self._attempt(start, goal)
            attempts += 1
            if path is not None:
                path = self._shortened(path)
        return path

    def try_direct_path(self, start: S, goal: S) -> list[S] | None:
        """Return the direct path from `start` to `goal`, or `None` if a state on it is in collision."""
        path = [start]
        for state in self._extend(start, goal):
            if self._collides(state):
                return None
            path.append(state)
        return path

    def _attempt(self, start: S, goal: S) -> list[S] | None:
        """Let two trees grow towards random states and towards each other, until they meet."""
        from_start, from_goal = _Tree(start), _Tree(goal)
        for _ in range(self._iterations):
            small, large = sorted((from_start, from_goal), key=lambda tree: len(tree.states))
            tip, _ = self._grow(small, self._sample(start))
            end, reached = self._grow(large, small.states[tip])
            if reached:
                ends = {id(small): small.way_to(tip), id(large): large.way_to(end)}
                return ends[id(from_start)] + ends[id(from_goal)][-2::-1]
        return None

    def _grow(self, tree: _Tree[S], target: S) -> tuple[int, bool]:
        """Extend a tree from its nearest state towards a target.

        Return the index of the last state, and whether it is the target.
        """
        last = tree.nearest(target, self._distance)
        for state in self._extend(tree.states[last], target):
            if self._collides(state):
                return last, False
            last = tree.add(state, last)
        return last, True

    def _shortened(self, path: list[S]) -> list[S]:
        for _ in range(self._smoothings):
            first, last = sorted(int(index) for index in self._rng.integers(0, len(path), 2))
            if last - first < 2:
                continue
            between = self.try_direct_path(path[first], path[last])
            if between is not None and len(between) < last - first + 1:
                path = [*path[:first], *between, *path[last + 1 :]]
        return path


class _Tree(Generic[S]):
    """States, each with the index of the one that it was reached from."""

    def __init__(self, root: S) -> None:
        self.states = [root]
        self._parents = [-1]

    def add(self, state: S, parent: int) -> int:
        """Add a state that was reached from another. Return its index."""
        self.states.append(state)
        self._parents.append(parent)
        return len(self.states) - 1

    def nearest(self, target: S, distance: Callable[[S, S], float]) -> int:
        """Return the index of the state that is nearest to a target."""
        return min(range(len(self.states)), key=lambda index: distance(target, self.states[index]))

    def way_to(self, index: int) -> list[S]:
        """Return the states from the root to one of them."""
        way = []
        while index >= 0:
            way.append(self.states[index])
            index = self._parents[index]
        return way[::-1]
