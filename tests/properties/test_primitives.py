"""Primitives: paths are free of collisions and connect, solutions satisfy, and checks agree with what a step does."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.environment_conf import EnvironmentConf
from harness.environments import plain
from harness.environments.counted import set_count
from harness.environments.maze import Maze
from harness.environments.object_centric import build_space
from harness.environments.primitives import call_primitive
from harness.evaluation.worker_primitives import build_primitives
from harness.primitives import csp
from harness.primitives.motion_planning import BiRRT
from harness.suite.config import load_environments
from tests.support.hosted import made_here
from tests.support.project import CONF

SIZE = 7
Cell = tuple[int, int]
CELLS = st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1))


def towards(one: Cell, other: Cell) -> Iterable[Cell]:
    """Yield the cells from one to another, first by rows and then by columns."""
    row, column = one
    while row != other[0]:
        row += 1 if other[0] > row else -1
        yield row, column
    while column != other[1]:
        column += 1 if other[1] > column else -1
        yield row, column


def planner(walls: frozenset[Cell], seed: int) -> BiRRT[Cell]:
    rng = np.random.default_rng(seed)
    return BiRRT(
        lambda _: (int(rng.integers(SIZE)), int(rng.integers(SIZE))),
        towards,
        walls.__contains__,
        lambda one, other: abs(one[0] - other[0]) + abs(one[1] - other[1]),
        rng,
        num_attempts=3,
        num_iters=200,
        smooth_amt=20,
    )


def connected(walls: frozenset[Cell], start: Cell, goal: Cell) -> bool:
    reached, left = {start}, [start]
    while left:
        row, column = left.pop()
        for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            if cell not in reached and cell not in walls and all(0 <= part < SIZE for part in cell):
                reached.add(cell)
                left.append(cell)
    return goal in reached


@settings(deadline=None)
@given(st.frozensets(CELLS, max_size=20), CELLS, CELLS, st.integers(0, 99))
def test_a_path_connects_without_collisions_and_is_found_where_there_is_one(
    walls: frozenset[Cell], start: Cell, goal: Cell, seed: int
) -> None:
    path = planner(walls, seed).query(start, goal)
    assert path == planner(walls, seed).query(start, goal), "the same seed gives the same path"
    if start in walls or goal in walls or not connected(walls, start, goal):
        assert path is None
        return
    assert path is not None
    assert (path[0], path[-1]) == (start, goal)
    assert not walls.intersection(path)
    assert all(abs(one[0] - two[0]) + abs(one[1] - two[1]) == 1 for one, two in pairwise(path))


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 30), st.integers(0, 99))
def test_a_solution_satisfies_every_constraint_and_its_cost_is_the_least_that_was_found(total: int, seed: int) -> None:
    x, y = csp.CSPVariable("x", spaces.Discrete(31)), csp.CSPVariable("y", spaces.Discrete(31))
    seen: list[tuple[int, int]] = []

    def fits(one: int, other: int) -> bool:
        seen.append((one, other))
        return one + other == total

    problem = csp.CSP(
        [x, y], [csp.FunctionalCSPConstraint("sum", [x, y], fits)], csp.CSPCost("first", [x], lambda value: value)
    )
    sampler = csp.FunctionalCSPSampler(
        lambda _, rng: {x: (value := int(rng.integers(total + 1))), y: total - value}, problem, {x, y}
    )
    solved = csp.RandomWalkCSPSolver(seed).solve(problem, {x: 0, y: 0}, [sampler])
    assert solved is not None
    assert solved[x] + solved[y] == total
    assert solved[x] == min(one for one, other in seen if one + other == total)


def test_without_a_solution_or_a_proposal_there_is_none() -> None:
    x = csp.CSPVariable("x", None)
    never = csp.CSP([x], [csp.LogProbCSPConstraint("never", [x], lambda _: -9.0)])
    sampler = csp.FunctionalCSPSampler(lambda current, _: {x: current[x] + 1}, never, {x})
    assert csp.RandomWalkCSPSolver(0, max_iters=50).solve(never, {x: 0}, [sampler]) is None
    silent = csp.FunctionalCSPSampler(lambda _current, _rng: None, never, {x})
    with pytest.raises(RuntimeError, match="no sampler has a proposal"):
        csp.RandomWalkCSPSolver(0).solve(never, {x: 0}, [silent])
    with pytest.raises(ValueError, match="no variable z"):
        csp.FunctionalCSPSampler(lambda _current, _rng: None, never, {csp.CSPVariable("z", None)})


@given(st.integers(0, 9999), st.lists(st.integers(0, 3), max_size=20))
def test_a_collision_in_a_maze_is_what_keeps_the_agent_in_place(seed: int, actions: list[int]) -> None:
    maze, private = Maze(3, 8, 100), Maze(3, 8, 100)
    state, _ = maze.reset(seed)
    for action in actions:
        collides = private.check_action_collision(state, action)
        after = maze.step(action).observation
        assert collides == (after["agent"] == state["agent"])
        state = after


@pytest.mark.parametrize("name", ["Motion2D-p1", pytest.param("PushPullHook2D", marks=pytest.mark.nightly)])
def test_a_collision_in_kinder_is_what_moves_nothing(name: str) -> None:
    conf = EnvironmentConf("flat", "kinder", {"id": f"kinder/{name}-v0"}, 1000)
    world, private = (made_here(conf) for _ in range(2))
    check: Any = private.check_action_collision  # type: ignore[attr-defined]  # only some environments have it
    rng = np.random.default_rng(0)
    world.reset(3)
    low, high = (world.spaces()["action_space"][end] for end in ("low", "high"))
    found = set()
    for number in range(60):
        action = np.where(rng.random(5) < 0.5, low, high).astype(np.float32) if number % 3 else high
        state = world.get_state()
        collides = check(state, action)
        world.step(world.action(action))
        assert collides == bool(np.array_equal(world.get_state(), state)), (number, action)
        found.add(collides)
    assert found == {True, False}


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_collision_is_found_at_any_number_of_objects_by_the_world_of_one_number(count: int) -> None:
    conf = load_environments(CONF)["obstruction2d_generalized"]
    world, private = (made_here(conf) for _ in range(2))
    space = build_space(world.spaces()["observation_space"])

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        sent = plain.loads(plain.dumps(question))
        return call_primitive(private, (), sent["primitive"], sent["with"])

    request = {"modules": {}, "asked": ["check_action_collision"]}
    collides = (build_primitives(request, ask) or {})["check_action_collision"]
    set_count(world, count)
    observation: Any = world.reset(3)[0]
    low, high = (world.spaces()["action_space"][end] for end in ("low", "high"))
    rng, found = np.random.default_rng(0), set()
    for number in range(60):
        action = np.where(rng.random(5) < 0.5, low, high).astype(np.float32) if number % 3 else high
        told = collides(space.from_plain(observation), action)
        if count == 2:
            assert collides(world.get_state(), action) == told, "the state of a tool is taken too"
        after: Any = world.step(world.action(action)).observation
        assert told == np.array_equal(after["values"], observation["values"]), (number, action)
        observation = after
        found.add(told)
    assert found == {True, False}


@pytest.mark.parametrize(
    "state",
    [
        {"objects": [], "values": []},
        {"objects": [["robot", "nonesuch"]], "values": [1.0]},
        {"objects": [["robot", "crv_robot"]], "values": [float("nan")] * 9},
        {"objects": [["robot"]], "values": [1.0]},
        {"objects": 1, "values": 1},
        {"count": 4, "state": {}},
        {"count": 1, "state": {}},
        [1.0],
        None,
    ],
)
def test_what_is_no_state_of_objects_is_refused(state: Any) -> None:
    private = made_here(load_environments(CONF)["obstruction2d_generalized"])
    answer = call_primitive(private, (), "check_action_collision", [state, np.zeros(5, np.float32)])
    assert str(answer["error"]).startswith("check_action_collision: ")
