"""The maze: a grid with obstacles, an agent and a goal. A seed determines the maze, and every maze can be solved."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.environments.base import InvalidAction, Plain, Step
from harness.environments.fidelity import Fidelity, sentence

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""The (row, column) change of each action 0..3: up, down, left, right."""

_DENSITY = 0.25
_GOES_ON = 0.99
"""The chance that the walk to the goal goes on, at each step that ends elsewhere than it began."""
_CELL = 32
_FREE, _WALL, _GOAL, _AGENT, _LINE = (255, 255, 255), (40, 40, 40), (60, 170, 80), (50, 100, 220), (200, 200, 200)

Cell = tuple[int, int]


class MazeState(NamedTuple):
    """One moment of a maze. Cells are (row, column), and row 0 is at the top."""

    agent: Cell
    goal: Cell
    obstacles: frozenset[Cell]
    height: int
    width: int

    def free(self, cell: Cell) -> bool:
        """Return whether the agent can stand on this cell."""
        return 0 <= cell[0] < self.height and 0 <= cell[1] < self.width and cell not in self.obstacles


class Maze:
    """The maze as an `Environment`. The seed draws its height and width from `min_size`..`max_size`."""

    state_fidelity: Fidelity = "exact"

    def __init__(self, min_size: int, max_size: int, max_steps: int) -> None:
        if not all(type(size) is int for size in (min_size, max_size)) or not 2 <= min_size <= max_size <= 100:
            raise ValueError(
                f"maze sizes must be whole numbers, 2 <= min_size <= max_size <= 100; got {min_size}, {max_size}"
            )
        self.max_steps = max_steps
        self._sizes = (min_size, max_size)
        self._state: MazeState | None = None

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """Begin the maze of this seed. The info is empty."""
        self._state = generate(seed, *self._sizes)
        return self.get_state(), {}

    def action(self, plain: Plain) -> int:
        """Return the action, one of 0..3. Raise `InvalidAction` for anything else."""
        if isinstance(plain, np.ndarray) and plain.ndim == 0 and plain.dtype.kind in "iu":
            plain = int(plain)
        if type(plain) is not int or not 0 <= plain < len(MOVES):
            raise InvalidAction(f"the action must be one of the integers 0, 1, 2, 3; got {plain!r:.80}")
        return plain

    def step(self, action: Any) -> Step:
        """Move one cell. An obstacle or the border keeps the agent in place."""
        state = self._now()
        self._state = state = state._replace(agent=_beside(state, state.agent, action))
        return Step(self.get_state(), -1.0, state.agent == state.goal, truncated=False, info={})

    def render(self) -> NDArray[np.uint8]:
        """Return a picture with 32 pixels per cell: the agent is blue, the goal is green, obstacles are dark grey."""
        state = self._now()
        cells = np.full((state.height, state.width, 3), _FREE, np.uint8)
        for cell in state.obstacles:
            cells[cell] = _WALL
        cells[state.goal] = _GOAL
        picture = cells.repeat(_CELL, 0).repeat(_CELL, 1)
        picture[::_CELL] = picture[:, ::_CELL] = picture[-1] = picture[:, -1] = _LINE
        top, left = (index * _CELL + _CELL // 4 for index in state.agent)
        picture[top : top + _CELL // 2, left : left + _CELL // 2] = _AGENT
        return picture

    def describe(self) -> str:
        """Return the task in Markdown."""
        low, high = self._sizes
        fidelity = sentence(self.state_fidelity)
        return _DESCRIPTION.format(low=low, high=high, max_steps=self.max_steps, fidelity=fidelity)

    def spaces(self) -> dict[str, Plain]:
        """Return `Discrete(4)` for actions, and a frozen `Dict` for observations. Cells are pairs of integers."""
        high = self._sizes[1]
        cell = {"type": "multidiscrete", "nvec": np.array([high, high]), "start": np.array([0, 0]), "dtype": "int64"}
        size = {"type": "discrete", "n": high - self._sizes[0] + 1, "start": self._sizes[0]}
        observation = {
            "agent": cell,
            "goal": cell,
            "obstacles": {"type": "sequence", "space": cell},
            "height": size,
            "width": size,
        }
        return {
            "action_space": {"type": "discrete", "n": len(MOVES), "start": 0},
            "observation_space": {"type": "dict", "spaces": observation, "frozen": True},
        }

    def get_state(self) -> Plain:
        """Return the state, which is the same as the observation."""
        state = self._now()
        return {
            "agent": list(state.agent),
            "goal": list(state.goal),
            "obstacles": [list(cell) for cell in sorted(state.obstacles)],
            "height": state.height,
            "width": state.width,
        }

    def set_state(self, state: Plain) -> None:
        """Set any maze within the sizes of this environment, solvable or not. Raise `ValueError` for anything else."""
        if not isinstance(state, dict) or set(state) != set(MazeState._fields):
            raise ValueError(f"a maze state is an object with exactly the keys {', '.join(MazeState._fields)}")
        low, high = self._sizes
        height, width = (_whole(state[name], name, low, high) for name in ("height", "width"))
        obstacles = state["obstacles"]
        if not isinstance(obstacles, list):
            raise ValueError(f"obstacles must be a list of [row, column]; got {obstacles!r:.80}")
        walls = frozenset(_cell(cell, "obstacles", height, width) for cell in obstacles)
        agent, goal = (_cell(state[name], name, height, width) for name in ("agent", "goal"))
        if agent in walls or goal in walls:
            raise ValueError("agent and goal must stand on free cells")
        self._state = MazeState(agent, goal, walls, height, width)

    def check_action_collision(self, state: Plain, action: Plain) -> bool:
        """Return whether an action would move the agent against an obstacle or the border in a state."""
        self.set_state(state)
        down, right = MOVES[self.action(action)]
        row, column = self._now().agent
        return not self._now().free((row + down, column + right))

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _now(self) -> MazeState:
        if self._state is None:
            raise RuntimeError("reset must be called first")
        return self._state


def generate(seed: int, min_size: int, max_size: int) -> MazeState:
    """Return the maze of a seed. A random walk from the agent's cell ends at the goal, so there is a path.

    A quarter of the cells that the walk did not visit are obstacles. The draws are those of the reference project, so a
    seed gives the same maze there.
    """
    rng = np.random.default_rng(seed)
    height, width = (int(rng.integers(min_size, max_size + 1)) for _ in range(2))
    agent = goal = (int(rng.integers(height)), int(rng.integers(width)))
    empty = MazeState(agent, goal, frozenset(), height, width)
    visited = {agent}
    while goal == agent or rng.random() <= _GOES_ON:
        goal = _beside(empty, goal, int(rng.integers(len(MOVES))))
        visited.add(goal)
    others = [(row, column) for row in range(height) for column in range(width) if (row, column) not in visited]
    drawn = rng.choice(len(others), size=int(_DENSITY * len(others)), replace=False)
    return MazeState(agent, goal, frozenset(others[index] for index in drawn), height, width)


def _beside(state: MazeState, cell: Cell, action: int) -> Cell:
    """Return the cell that an action leads to. An obstacle or the border keeps the agent in place."""
    after = (cell[0] + MOVES[action][0], cell[1] + MOVES[action][1])
    return after if state.free(after) else cell


def distance(state: MazeState) -> int | None:
    """Return the length of the shortest path from agent to goal, or `None` if there is no path."""
    steps = {state.agent: 0}
    queue = deque(steps)
    while queue:
        cell = queue.popleft()
        if cell == state.goal:
            return steps[cell]
        for row, column in MOVES:
            after = (cell[0] + row, cell[1] + column)
            if after not in steps and state.free(after):
                steps[after] = steps[cell] + 1
                queue.append(after)
    return None


def _whole(value: Plain, name: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number in {low}..{high}; got {value!r:.80}")
    return value


def _cell(value: Plain, name: str, height: int, width: int) -> Cell:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{name}: a cell is [row, column]; got {value!r:.80}")
    return _whole(value[0], f"{name} row", 0, height - 1), _whole(value[1], f"{name} column", 0, width - 1)


_DESCRIPTION = """\
## Task
Walk through a maze from the agent's cell to the goal, avoiding obstacles. Every maze differs in size ({low} to {high}
rows and columns), obstacles, start and goal, and every one can be solved. An episode is solved when the agent stands
on the goal; it ends unsolved after {max_steps} steps.

## Observation
A dict of plain Python values; cells are lists `[row, column]`, row 0 on top, column 0 at the left.

| key | value |
| --- | --- |
| `agent` | the agent's cell, `[row, column]` |
| `goal` | the goal's cell |
| `obstacles` | list of the blocked cells (may be empty) |
| `height` | number of rows |
| `width` | number of columns |

The same dict is the environment's state. {fidelity}

## Action
An integer. A move against an obstacle or out of the grid leaves the agent in place.

| action | move | (row, column) change |
| --- | --- | --- |
| 0 | up | (-1, 0) |
| 1 | down | (+1, 0) |
| 2 | left | (0, -1) |
| 3 | right | (0, +1) |

## Reward
-1 a step.
"""
