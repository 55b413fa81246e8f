"""How a program is found in its module, made and called, and what it is given."""

from __future__ import annotations

import copy
import operator
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.environments.maze import Maze
from harness.evaluation.worker_policy import LoadedProgram, ProgramMistake, make_program, program_class
from harness.evaluation.worker_states import FrozenState, seen_by_program

SPACES = ("actions", "observations")


class Base:
    """A program that notes what it was made with."""

    made: tuple[Any, ...]

    def reset(self, state: Any, info: Any) -> None:
        pass

    def get_action(self, state: Any) -> int:
        return 0


class Still:
    """A program that never acts."""

    def __init__(self, action_space: Any, observation_space: Any) -> None:
        pass


class Two(Base):
    def __init__(self, action_space: Any, observation_space: Any) -> None:
        self.made = (action_space, observation_space)


class Named(Base):
    def __init__(self, action_space: Any, observation_space: Any, primitives: Any = "none") -> None:
        self.made = (action_space, observation_space, primitives)


class OnlyNamed(Base):
    def __init__(self, action_space: Any, observation_space: Any, *, primitives: Any) -> None:
        self.made = (action_space, observation_space, primitives)


class Required(Base):
    def __init__(self, a: Any, o: Any, tools: Any) -> None:
        self.made = (a, o, tools)


class Anything(Base):
    def __init__(self, *spaces: Any, **rest: Any) -> None:
        self.made = (*spaces, rest["primitives"])


class Seeded(Base):
    def __init__(self, action_space: Any, observation_space: Any, seed: int, primitives: Any, extra: int = 1) -> None:
        assert (seed, extra) == (0, 1)
        self.made = (action_space, observation_space, primitives)


class Optional(Base):
    def __init__(self, action_space: Any, observation_space: Any, patience: int = 3) -> None:
        assert patience == 3
        self.made = (action_space, observation_space)


@pytest.mark.parametrize("kind", [Named, OnlyNamed, Required, Anything, Seeded])
def test_primitives_are_given_where_the_constructor_takes_them(kind: type[Base]) -> None:
    assert make_program(kind, SPACES, {"BiRRT": 1}).made == (*SPACES, {"BiRRT": 1})


@pytest.mark.parametrize("kind", [Two, Optional])
def test_primitives_are_not_given_where_it_does_not(kind: type[Base]) -> None:
    assert make_program(kind, SPACES, {"BiRRT": 1}).made == SPACES


def module(**classes: type) -> ModuleType:
    made = ModuleType("approach")
    for name, kind in classes.items():
        setattr(made, name, type(name, (kind,), {"__module__": "approach"}))
    made.Imported = Two  # type: ignore[attr-defined]  # a class of another module
    return made


def test_the_only_class_that_can_play_is_found_if_none_is_named() -> None:
    assert program_class(module(Oracle=Two, Helper=object), None).__name__ == "Oracle"
    assert program_class(module(Oracle=Two, GeneratedApproach=Two), None).__name__ == "GeneratedApproach"
    assert program_class(module(Oracle=Two, Other=Two), "Other").__name__ == "Other"


@pytest.mark.parametrize(
    ("classes", "name", "told"),
    [
        ({"A": Two, "B": Two}, None, "no class GeneratedApproach; choose with --policy; it has A, B"),
        ({"A": Two}, "GeneratedApproach", "no class GeneratedApproach; it has A"),
        ({"Helper": object}, None, "no class GeneratedApproach, and no other class with reset and get_action"),
    ],
)
def test_a_module_without_a_single_one_says_which_can_play(
    classes: dict[str, type], name: str | None, told: str
) -> None:
    with pytest.raises(ProgramMistake, match=told):
        program_class(module(**classes), name)


def test_a_program_without_an_action_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    program = LoadedProgram("nowhere", *SPACES, seen=lambda observation: observation)
    monkeypatch.setitem(sys.modules, "still_here", module(GeneratedApproach=Still))
    with pytest.raises(ProgramMistake, match="GeneratedApproach has no get_action, and no step either"):
        program.load({"folders": [], "module": "still_here", "class": None, "primitives": None})


def maze_state() -> FrozenState:
    maze = Maze(10, 15, max_steps=10)
    observation, _ = maze.reset(3)
    seen = seen_by_program(maze.spaces()["observation_space"])
    state: FrozenState = seen(observation)
    assert state == observation
    return state


def test_a_mazes_state_is_read_by_key_and_by_attribute_and_is_hashable() -> None:
    state = maze_state()
    assert state.agent == tuple(state["agent"]) == state["agent"] == list(state["agent"])
    assert type(state.agent) is tuple
    assert state.obstacles == frozenset(map(tuple, state["obstacles"]))
    assert isinstance(state["obstacles"], list)
    assert list(state["obstacles"][0]) in state["obstacles"]
    assert state["obstacles"][0] in state.obstacles
    assert {state["agent"]: 1}[state.agent] == 1
    assert (state.height, dict(state)["width"]) == (state["height"], state.width)
    assert {state: "known"}[maze_state()] == "known"
    assert state["agent"] != state["goal"]
    with pytest.raises(AttributeError, match="the state has no robot; it has: agent, goal"):
        state.robot  # noqa: B018 - the access is what is tried


def test_a_mazes_state_cannot_be_changed() -> None:
    state = maze_state()
    changes: list[Callable[[], object]] = [
        lambda: state.update(agent=(0, 0)),
        lambda: state.pop("agent"),
        lambda: operator.setitem(state, "agent", (0, 0)),
        lambda: setattr(state, "agent", (0, 0)),
        state.clear,
    ]
    for change in changes:
        with pytest.raises(TypeError, match="a state cannot be changed"):
            change()
    moved = state.copywith(agent=(0, 1))
    assert (moved.agent, moved.goal) == ((0, 1), state.goal)
    assert copy.deepcopy(state) is copy.copy(state) is state
    kind, parts = state.__reduce__()
    assert (kind, FrozenState(*parts)) == (FrozenState, state), "a process of the program's own can receive it"


def test_other_observations_are_given_as_they_are() -> None:
    observation = {"agent": np.array([1.0])}
    assert seen_by_program({"type": "dict", "spaces": {}})(observation) is observation


@given(st.lists(st.integers(), max_size=4), st.lists(st.integers(), max_size=4))
def test_a_cell_equals_the_lists_and_tuples_with_the_same_numbers(one: list[int], other: list[int]) -> None:
    seen = seen_by_program({"type": "dict", "frozen": True, "spaces": {"c": {"type": "multidiscrete"}}})
    cell = seen({"c": one})["c"]
    assert (cell == other) == (one == other) == (cell == tuple(other))
    assert (cell != other) == (one != other)
    assert hash(cell) == hash(tuple(one))
