"""The maze is always solvable, moves as described, and is drawn correctly."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.environments.maze import MOVES, Maze, MazeState, distance, generate

MAZE = {"agent": [0, 0], "goal": [2, 2], "obstacles": [[0, 1]], "height": 3, "width": 4}


@pytest.fixture
def maze() -> Maze:
    maze = Maze(3, 5, max_steps=100)
    maze.set_state(MAZE)
    return maze


@given(st.integers(0, 2**63), st.sampled_from([(2, 2), (3, 5), (12, 20)]))
@settings(deadline=None)
def test_every_maze_can_be_solved(seed: int, sizes: tuple[int, int]) -> None:
    state = generate(seed, *sizes)
    shortest = distance(state)
    assert shortest is not None
    assert shortest > 0, "start and goal are the same cell"
    assert sizes[0] <= min(state.height, state.width) <= max(state.height, state.width) <= sizes[1]


def test_different_seeds_give_different_kinds_of_mazes() -> None:
    mazes = [generate(seed, 3, 5) for seed in range(300)]
    assert {(state.height, state.width) for state in mazes} == {(h, w) for h in (3, 4, 5) for w in (3, 4, 5)}
    large = [generate(seed, 10, 15) for seed in range(100)]
    assert len(set(large)) == 100
    assert any((distance(state) or 0) > _straight(state) for state in large), "no detour anywhere"


def _straight(state: MazeState) -> int:
    return abs(state.agent[0] - state.goal[0]) + abs(state.agent[1] - state.goal[1])


def test_a_seed_gives_the_maze_of_the_reference_project() -> None:
    walls = [(0, 0), (0, 3), (1, 0), (3, 0), (3, 4)]
    assert generate(5, 3, 5) == MazeState((0, 4), (2, 3), frozenset(walls), 5, 5)
    assert generate(7, 3, 5) == MazeState((3, 3), (4, 2), frozenset([(1, 2), (3, 0), (3, 1)]), 5, 4)


@pytest.mark.parametrize(
    ("action", "cell"), [(0, [0, 0]), (1, [1, 0]), (2, [0, 0]), (3, [0, 0])], ids=["up", "down", "left", "right"]
)
def test_a_move_changes_the_cell_unless_it_is_blocked(maze: Maze, action: int, cell: list[int]) -> None:
    step = maze.step(maze.action(action))
    assert step.observation == MAZE | {"agent": cell}
    assert (step.reward, step.terminated, step.truncated) == (-1.0, False, False)


def test_the_goal_ends_the_episode(maze: Maze) -> None:
    assert [maze.step(action).terminated for action in (1, 1, 3, 3)] == [False, False, False, True]


def test_the_description_gives_the_moves(maze: Maze) -> None:
    text = maze.describe()
    for action, (row, column) in enumerate(MOVES):
        assert f"| {action} |" in text
        assert f"({row:+d}, {column:+d})".replace("+0", "0") in text


def test_numpy_integers_are_actions(maze: Maze) -> None:
    assert maze.action(np.array(3)) == 3


def test_the_picture_shows_agent_goal_and_walls(maze: Maze) -> None:
    picture = maze.render()
    assert picture.shape == (96, 128, 3)
    assert picture.dtype == np.uint8

    def centre(row: int, column: int) -> tuple[int, ...]:
        return tuple(picture[row * 32 + 16, column * 32 + 16])

    assert len({centre(0, 0), centre(2, 2), centre(0, 1), centre(1, 1)}) == 4
    assert centre(1, 1) == centre(2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("goal"), "exactly the keys"),
        (lambda s: s.update(extra=1), "exactly the keys"),
        (lambda s: s.update(height=6), "height must be a whole number in 3..5"),
        (lambda s: s.update(agent=[0, 4]), "agent column must be a whole number in 0..3"),
        (lambda s: s.update(agent=[0, 1]), "free cells"),
        (lambda s: s.update(goal="end"), "a cell is"),
        (lambda s: s.update(obstacles=None), "obstacles must be a list"),
        (lambda s: s.update(obstacles=[[0.5, 0]]), "obstacles row must be a whole number"),
    ],
)
def test_a_bad_state_is_explained(maze: Maze, change: Callable[[dict[str, Any]], None], message: str) -> None:
    state = dict(MAZE)
    change(state)
    with pytest.raises(ValueError, match=message):
        maze.set_state(state)
    assert maze.get_state() == MAZE


def test_the_maze_refuses_to_render_before_the_reset() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        Maze(3, 5, max_steps=10).render()
