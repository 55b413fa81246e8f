"""A policy for mazes: walk the shortest path to the goal, found by breadth-first search."""

from __future__ import annotations

from collections import deque
from typing import Any

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""The (row, column) change of each action: up, down, left, right."""


class GeneratedApproach:
    """The policy."""

    def __init__(self, action_space: Any, observation_space: Any, primitives: Any = None) -> None:
        del action_space, observation_space, primitives

    def reset(self, state: Any, info: Any) -> None:
        """Find the path."""
        del info
        self._actions = deque(shortest_path(state))

    def get_action(self, state: Any) -> int:
        """Return the next action of the path."""
        del state
        return self._actions.popleft()


def shortest_path(state: Any) -> list[int]:
    """Return the actions that lead from the agent to the goal. Raise `ValueError` if there is no path."""
    start, goal = tuple(state["agent"]), tuple(state["goal"])
    blocked = {tuple(cell) for cell in state["obstacles"]}
    paths: dict[tuple[int, ...], list[int]] = {start: []}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        if cell == goal:
            return paths[cell]
        for action, (down, right) in enumerate(MOVES):
            there = (cell[0] + down, cell[1] + right)
            inside = 0 <= there[0] < state["height"] and 0 <= there[1] < state["width"]
            if inside and there not in blocked and there not in paths:
                paths[there] = [*paths[cell], action]
                queue.append(there)
    raise ValueError("the goal cannot be reached")
