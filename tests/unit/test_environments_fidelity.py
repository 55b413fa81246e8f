"""What an environment says of its states, who tells it, and how KinDER's adapter describes its worlds."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments import gymnasium_adapter
from harness.environments.factory import make_environment
from harness.environments.fidelity import FIDELITIES, fidelity_of, sentence
from harness.environments.kinder_limb import CountingClock
from harness.environments.maze import Maze
from tests.support.hosted import made_here

MAZE = {"min_size": 3, "max_size": 5}
DECLARING = """
from harness.environments.maze import Maze

class Sloppy(Maze):
    state_fidelity = "none"

class Wrong(Maze):
    state_fidelity = "perfect"

class Silent(Maze):
    pass

del Maze.state_fidelity
"""


@pytest.fixture
def declaring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with adapters that declare different things."""
    (tmp_path / "declaring.py").write_text(DECLARING)
    monkeypatch.syspath_prepend(tmp_path)
    return "declaring"


@pytest.mark.parametrize(("name", "fidelity"), [("Sloppy", "none"), ("Silent", "unknown")])
def test_an_adapter_of_ones_own_may_say_how_faithful_its_states_are(declaring: str, name: str, fidelity: str) -> None:
    conf = EnvironmentConf("mine", f"{declaring}:{name}", MAZE)
    with closing(make_environment(conf)) as environment:
        assert environment.state_fidelity == fidelity


def test_an_adapter_that_says_anything_else_is_refused(declaring: str) -> None:
    with pytest.raises(ValueError, match=r"environment mine: Wrong: state_fidelity must be one of exact, .*'perfect'"):
        make_environment(EnvironmentConf("mine", f"{declaring}:Wrong", MAZE))


def test_a_rule_of_success_changes_nothing_about_states() -> None:
    assert fidelity_of(made_here(EnvironmentConf("maze", "maze", MAZE, solved_when="return >= -9"))) == "exact"


def test_the_description_tells_it() -> None:
    assert sentence("exact") in Maze(3, 5, 10).describe()
    lake = made_here(EnvironmentConf("lake", "gymnasium", {"id": "FrozenLake-v1"}))
    assert sentence("replay") in lake.describe()
    assert len({sentence(fidelity) for fidelity in FIDELITIES}) == len(FIDELITIES)


def test_a_replay_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = made_here(EnvironmentConf("lake", "gymnasium", {"id": "FrozenLake-v1"}))
    monkeypatch.setattr(gymnasium_adapter, "REPLAY_S", -1.0)
    with pytest.raises(ValueError, match="the first 0 of 2 actions took -1 s: give fewer"):
        lake.set_state({"seed": 0, "actions": [0, 0]})


def kinder(name: str) -> Any:
    pytest.importorskip("kinder", reason="the optional package kindergarden is not installed")
    return made_here(EnvironmentConf("world", "kinder", {"id": f"kinder/{name}-v0"}, max_steps=200))


def test_a_long_observation_is_told_by_its_objects() -> None:
    text = kinder("ClutteredRetrieval2D-o25").describe()
    objects = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d) \|$", text, re.MULTILINE)
    assert [int(first) for _, first, _, _ in objects[1:]] == [int(last) + 1 for _, _, last, _ in objects[:-1]]
    assert objects[-1][2] == "278"
    assert ("obstruction24", "2") in [(name, features) for name, _, _, features in objects]
    assert "| 8 | width | extent along x at theta 0 |" in text
    assert len(text) < 8000


def test_things_that_are_not_observed_are_told() -> None:
    text = kinder("StickButton2D-b1").describe()
    assert "| table | height | 1.25 | extent along y at theta 0 |" in text
    assert "wall |" not in text, "the walls round the world are told in words"
    assert "These things never move" not in kinder("Motion2D-p0").describe()


def test_a_bound_is_told_so_that_an_action_may_have_it() -> None:
    pytest.importorskip("kinder", reason="the optional package kindergarden is not installed")
    from harness.environments.kinder_text import _inside  # noqa: PLC0415 - it needs the optional package

    for bound in np.random.default_rng(0).uniform(-1, 1, 500).astype(np.float32):
        told = np.float32(float(_inside(bound, np.float32)))
        assert abs(told) <= abs(bound)
        assert abs(bound) - abs(told) <= 1.001e-3


def test_the_clock_of_inverse_kinematics_gives_each_search_as_many_tries() -> None:
    clock, tries = CountingClock(), set()
    for _ in range(50):
        began, count = clock.perf_counter(), 0
        while clock.perf_counter() - began < 0.05:
            count += 1
        tries.add(count)
    assert tries == {204}
