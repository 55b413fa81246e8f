"""`solved_when`: success that stands in the info of a step, or in the return of an episode, for every kind."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment, Plain, Policy, Step
from harness.environments.factory import make_environment
from harness.environments.judged import JudgedEnvironment
from harness.environments.maze import Maze
from harness.environments.solved_when import SolvedRule, parse_rule
from harness.evaluation.playing import Episode, EpisodeOutcome, run_episode
from harness.mcp.renders import Renders
from harness.mcp.tools import EnvironmentTools
from tests.support.hosted import made_here
from tests.support.own_project import ENVIRONMENT, OwnProject

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
spaces_between = st.sampled_from(["", " ", "  "])
names = st.from_regex(r"[A-Za-z_][\w-]{0,10}", fullmatch=True).filter(str.isascii)


def rule(text: str) -> SolvedRule:
    found = parse_rule(text)
    assert found is not None
    return found


@given(st.none() | names, st.sampled_from(list(OPERATORS)), numbers, spaces_between, numbers)
def test_a_comparison_holds_as_it_reads(name: str | None, sign: str, number: float, space: str, value: float) -> None:
    found = rule(f"{'return' if name is None else f'info.{name}'}{space}{sign}{space}{number!r}")
    assert (found.name, found.sign, found.number) == (name, sign, number)
    assert found.holds(value) == OPERATORS[sign](value, float(number))
    assert found.holds(np.array([value])) == OPERATORS[sign](value, float(number))


@given(names)
def test_an_entry_alone_must_be_true(name: str) -> None:
    found = rule(f"info.{name}")
    assert [found.holds(value) for value in (True, 1, 0.5, np.True_, np.array([True]))] == [True] * 5
    assert [found.holds(value) for value in (None, False, 0, "yes", [1], {"a": 1}, np.ones(2))] == [False] * 7


@given(st.text(st.sampled_from("info.return terminated_a=<>!-+1e.()'"), max_size=25) | st.text(max_size=10))
def test_any_text_is_a_rule_or_is_refused_with_the_forms(text: str) -> None:
    try:
        parse_rule(text)
    except ValueError as error:
        assert "write terminated, info.NAME, info.NAME OP NUMBER or return OP NUMBER" in str(error)  # noqa: PT017 - most texts are refused, not all


@pytest.mark.parametrize(
    "text",
    [
        *("", "won", "return", "return 200", "return >= ", "return >= 1e999", "return >= nan", "info", "info."),
        *("info.a b", "info.a >= b", "info.a.b", "info['a']", "info.a >= 1 or 1", "__import__('os')", "terminated > 1"),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rule: write terminated"):
        parse_rule(text)


class Counting(gymnasium.Env[Any, Any]):
    """Rewards each step with 1, and fails at the fourth. The third is a success, as its info says."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - the form that Gymnasium asks for
    action_space = spaces.Discrete(2)
    observation_space = spaces.Discrete(9)

    def __init__(self, **_kwargs: Any) -> None:
        self.render_mode = "rgb_array"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return 0, {"is_success": True}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.steps, 1.0, self.steps == 4, False, {"is_success": np.bool_(self.steps == 3), "n": self.steps}

    def render(self) -> Any:
        return np.zeros((4, 6, 3), np.uint8)


gymnasium.register("ProctorCounting-v0", Counting)


class Zero:
    """A policy that always answers 0."""

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float) -> None:
        pass

    def act(self, observation: Plain, timeout_s: float) -> Plain:
        return 0

    def update(self, step: Step, timeout_s: float) -> None:
        pass


def counting(solved_when: str, max_steps: int = 10) -> Environment:
    conf = EnvironmentConf("mine", "gymnasium", {"id": "ProctorCounting-v0"}, max_steps, solved_when=solved_when)
    return made_here(conf)


def play(environment: Environment, seed: int = 1) -> Episode:
    return run_episode(environment, Zero(), index=0, seed=seed, max_steps=environment.max_steps, wall_s=60.0)


def drawn(environment: Environment, folder: Path, max_steps: int = 1000) -> str:
    """Return what the agent's tool says of an episode."""

    @contextmanager
    def open_policy(_folder: str) -> Iterator[Policy]:
        yield Zero()

    renders = Renders(folder, "/renders")
    tools = EnvironmentTools(environment, renders=renders, open_policy=open_policy, policy_errors=(), workspace="/w")
    return tools.render_policy(".", 1, max_steps, 1).text.splitlines()[0]


@pytest.mark.parametrize(
    ("solved_when", "max_steps", "solved", "steps"),
    [
        ("terminated", 10, True, 4),
        ("info.is_success", 10, True, 3),
        ("info.is_success", 2, False, 2),
        ("info.n > 1", 10, True, 2),
        ("info.n > 9", 10, False, 4),
        ("info.missing", 10, False, 4),
        ("return >= 2", 10, True, 4),
        ("return >= 2", 3, True, 3),
        ("return >= 5", 10, False, 4),
        ("return < 3", 10, False, 4),
        ("return < 3", 2, True, 2),
    ],
)
def test_an_episode_is_solved_and_ends_as_the_rule_says(
    tmp_path: Path, solved_when: str, max_steps: int, solved: bool, steps: int
) -> None:
    environment = counting(solved_when, max_steps)
    for _again in range(2):
        episode = play(environment)
        assert episode.error is None
        assert (episode.outcome is EpisodeOutcome.SOLVED, episode.steps) == (solved, steps)
    assert drawn(environment, tmp_path).startswith("solved" if solved else "not solved")


def test_an_episode_that_the_agent_cuts_short_has_no_return_yet(tmp_path: Path) -> None:
    assert drawn(counting("return >= 2"), tmp_path, max_steps=2) == "not solved within 2 steps"


def test_the_agent_is_told_the_rule() -> None:
    assert 'An episode is solved as soon as `info["is_success"]` of a step is true.' in (
        counting("info.is_success").describe()
    )
    assert 'solved as soon as `info["n"]` of a step is >= 2.' in counting("info.n >= 2").describe()
    assert "solved if its return, the sum of its rewards, is >= 200 when it ends." in counting("return>=200").describe()


def test_every_other_kind_follows_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"min_size": 3, "max_size": 3}
    maze = made_here(EnvironmentConf("maze", "maze", sizes, max_steps=5, solved_when="return <= -5"))
    assert isinstance(maze, JudgedEnvironment)
    unsolved = (seed for seed in range(99) if play(Maze(**sizes, max_steps=5), seed).outcome != "solved")
    episode = play(maze, next(unsolved))
    assert (episode.outcome, episode.steps) == (EpisodeOutcome.SOLVED, 5), "it never reached the goal"

    (tmp_path / "solved_when_door.py").write_text(ENVIRONMENT)
    monkeypatch.syspath_prepend(tmp_path)
    conf = EnvironmentConf("door", "solved_when_door:Door", max_steps=4, solved_when="return == 0")
    with closing(make_environment(conf)) as door:
        door.reset(0)
        steps = [door.step("walk") for _ in range(4)]
    assert [step.terminated for step in steps] == [False, False, False, True]


def test_a_name_that_no_info_has_is_doubted() -> None:
    environment = counting("info.is_sucess")
    assert isinstance(environment, JudgedEnvironment)
    assert environment.doubt() is None, "nothing was played"
    play(environment)
    assert environment.doubt() == (
        "solved_when: info.is_sucess: the info of no step had is_sucess; it had is_success, n"
    )
    known = counting("info.is_success")
    play(known)
    assert isinstance(known, JudgedEnvironment)
    assert known.doubt() is None


def test_a_wrong_rule_is_a_usage_error_that_names_the_file(tmp_path: Path) -> None:
    project = OwnProject(tmp_path)
    door = "name: door\nkind: mylab.envs:Door\nmax_steps: 10\n"
    for solved_when, options, where in (
        ("info.opened = 1", (), "conf/environment/door.yaml: environment.door.solved_when: 'info.opened = 1'"),
        (
            "info.opened",
            ("--set", "environment.door.solved_when='returns > 2'"),
            "--set environment.door.solved_when='returns > 2': conf/environment/door.yaml: "
            "environment.door.solved_when: 'returns > 2'",
        ),
    ):
        project.write("conf/environment/door.yaml", f"{door}solved_when: {solved_when}\n")
        done = project.pytest("--suite", "mine", "--collect-only", *options)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
        assert f"ERROR: {where} is not a rule: write terminated, info.NAME" in done.stderr
