"""A policy that solves every maze; tests hand it in as a submission, or beside one that borrows from it."""

from collections import deque
from typing import Any

MOVES = [(-1, 0), (1, 0), (0, -1), (0, 1)]


class GeneratedApproach:
    def __init__(self, action_space: Any, observation_space: Any, primitives: Any = None) -> None:
        self.action_space, self.observation_space = action_space, observation_space

    def reset(self, state: dict[str, Any], info: dict[str, Any]) -> None:
        pass

    def get_action(self, state: dict[str, Any]) -> int:
        # Breadth-first from the goal: the first cell that touches the agent's is the next one to go to.
        blocked = {tuple(cell) for cell in state["obstacles"]}
        agent, goal = tuple(state["agent"]), tuple(state["goal"])
        queue, seen = deque([goal]), {goal}
        while queue:
            row, column = queue.popleft()
            for action, (down, right) in enumerate(MOVES):
                if (row - down, column - right) == agent:
                    return action
                near = (row + down, column + right)
                inside = 0 <= near[0] < state["height"] and 0 <= near[1] < state["width"]
                if inside and near not in blocked and near not in seen:
                    seen.add(near)
                    queue.append(near)
        raise ValueError("no path leads to the goal")
