"""The fingerprint of an environment: what it sees, what it leaves alone, and when there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments import fingerprint as module
from harness.environments import maze
from harness.environments.base import PUBLIC_SEEDS, InvalidAction, Plain, Step
from harness.environments.factory import make_environment
from harness.environments.fingerprint import Fingerprint, fingerprint
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.environments.judged import JudgedEnvironment
from harness.environments.looking import PLAYED, SEEDS, STEPS
from tests.support.hosted import made_here
from tests.support.project import ROOT

MAZE = EnvironmentConf("room", "maze", {"min_size": 3, "max_size": 5}, max_steps=20)
BOX = {"type": "box", "low": np.array([-1.0, 0.0]), "high": np.array([1.0, np.inf]), "dtype": "float32"}


class Slope:
    """A ball on a slope. Its first place is the seed's, times `scale`. Each action pushes it."""

    def __init__(self, scale: float = 1.0, space: Plain = BOX, max_steps: int = 100) -> None:
        self.max_steps = max_steps
        self.seeds: list[int] = []
        self.actions: list[Any] = []
        self._scale, self._space, self._at = scale, space, 0.0

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        self.seeds.append(seed)
        self._at = (seed + 1) * self._scale
        return self.seen(), {"told at": len(self.seeds)}

    def seen(self) -> Plain:
        return {"at": np.array([self._at], np.float64), "name": "ball", "fast": self._at > 3.5}

    def action(self, plain: Plain) -> Any:
        return plain

    def step(self, action: Any) -> Step:
        self.actions.append(action)
        self._at += float(np.sum(action)) * self._scale
        return Step(self.seen(), -self._at, False, False, {})

    def spaces(self) -> dict[str, Plain]:
        return {"action_space": self._space, "observation_space": {"type": "other", "text": "a ball"}}


@pytest.fixture(autouse=True)
def _nothing_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_taken", {})


def take(environment: Any) -> Fingerprint:
    """Return the fingerprint of an environment that was never seen before."""
    module._taken.clear()
    return fingerprint(MAZE, environment)


def of_maze() -> str | None:
    return take(made_here(MAZE)).digest


def test_it_is_the_same_in_another_process() -> None:
    program = (
        "from harness.environments.factory import make_environment\n"
        "from harness.environments.fingerprint import fingerprint\n"
        "from tests.unit.test_environments_fingerprint import MAZE\n"
        "print(fingerprint(MAZE, make_environment(MAZE)).digest)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == of_maze()


def test_a_package_that_changes_a_problem_under_the_same_name_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of_maze()
    monkeypatch.setattr(maze, "_DENSITY", 0.4)
    assert of_maze() != before


def test_so_is_one_that_changes_only_what_actions_do(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of_maze()
    monkeypatch.setattr(maze, "MOVES", maze.MOVES[::-1])
    assert of_maze() != before


def test_other_arguments_and_another_rule_give_another_one() -> None:
    larger = EnvironmentConf("room", "maze", {"min_size": 3, "max_size": 6}, max_steps=20)
    assert fingerprint(larger, made_here(larger)).digest != of_maze()


@pytest.mark.parametrize("scale", [1.0, 0.15625, 0.123450, 1e9, 3e-4])
def test_the_rounding_of_another_machine_makes_no_difference(scale: float) -> None:
    first = take(Slope(scale))
    assert take(Slope(scale * (1 + 1e-12))) == take(Slope(scale * (1 - 1e-12))) == first
    assert take(Slope(scale * 1.01)) != first


@pytest.mark.parametrize("tiny", [0.0, -0.0, 1e-16, -1e-16])
def test_noise_around_zero_is_zero(tiny: float) -> None:
    assert take(Slope(tiny)) == take(Slope(0.0))


def test_only_public_seeds_are_looked_at_and_few_steps_are_made() -> None:
    slope = Slope()
    take(slope)
    assert set(slope.seeds) == set(SEEDS) < set(PUBLIC_SEEDS)
    assert len(slope.actions) == (len(PLAYED) + 1) * STEPS


def test_an_episode_is_never_longer_than_the_environment_allows() -> None:
    slope = Slope(max_steps=2)
    take(slope)
    assert len(slope.actions) == (len(PLAYED) + 1) * 2


def test_it_is_taken_once_in_a_process_for_each_configuration() -> None:
    first: Any = Slope()
    second: Any = Slope()
    assert fingerprint(MAZE, first) == fingerprint(MAZE, second)
    assert second.seeds == []
    assert fingerprint(EnvironmentConf("room", "maze", max_steps=30), second).digest
    assert second.seeds != []


def test_a_rule_about_the_info_sees_none_of_its_steps() -> None:
    conf = EnvironmentConf("pole", "gymnasium", {"id": "CartPole-v1"}, max_steps=20, solved_when="info.success")
    judged = made_here(conf)
    assert isinstance(judged, JudgedEnvironment)
    assert fingerprint(conf, judged).digest
    assert judged.doubt() is None, "no step was judged yet"
    judged.close()


def refuses(plain: Plain) -> Any:
    raise InvalidAction("not this one")


@pytest.mark.parametrize(
    "change",
    [lambda slope: setattr(slope, "action", refuses), lambda slope: setattr(slope, "_space", {"type": "other"})],
)
def test_without_a_valid_action_the_first_observations_count(change: Callable[[Slope], None]) -> None:
    slope, other = Slope(), Slope(2.0)
    for one in (slope, other):
        change(one)
    assert take(slope).digest is not None
    assert take(slope) != take(other)
    assert slope.actions == []


class Broken(Slope):
    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        raise RuntimeError("the engine is missing")


class Drifting(Slope):
    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        return super().reset(seed + len(self.seeds))


class Opaque(Slope):
    def seen(self) -> Plain:
        return object()


def test_an_environment_that_fails_has_none() -> None:
    assert take(Broken()) == Fingerprint(None, "RuntimeError: the engine is missing")


def test_an_environment_that_differs_each_time_has_none() -> None:
    assert take(Drifting()) == Fingerprint(None, "seed 0 does not give the same episode twice")


def test_observations_that_are_not_plain_data_have_none() -> None:
    assert take(Opaque()) == Fingerprint(None, "TypeError: a value of type object is not plain data")


def test_any_text_can_be_observed() -> None:
    class Odd(Slope):
        def seen(self) -> Plain:
            return ["\ud800", None, True, {"b": np.float32(1), "a": ()}, np.array([[True], [False]])]

    assert take(Odd()).digest


@pytest.mark.parametrize(("deaths", "taken"), [(1, True), (2, False)])
def test_a_process_that_dies_meanwhile_is_given_another_chance(
    monkeypatch: pytest.MonkeyPatch, deaths: int, taken: bool
) -> None:
    conf = msgspec.structs.replace(MAZE, name=f"dies {deaths} times")
    run, left = HostedEnvironment.run, [EnvironmentFailed(f"killed {number}") for number in range(deaths)]

    def dies(environment: HostedEnvironment, function: str, seed: int | None) -> Any:
        if left:
            raise left.pop()
        return run(environment, function, seed=seed)

    monkeypatch.setattr(HostedEnvironment, "run", dies)
    with closing(make_environment(conf)) as environment:
        found = fingerprint(conf, environment)
    assert (found.digest is not None, found.fault) == (taken, None if taken else "killed 0")
