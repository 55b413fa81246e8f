"""What every environment promises, with any adapter."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.environments
from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment, InvalidAction, Step
from harness.environments.factory import available, make_environment
from harness.environments.plain import dumps, loads
from harness.environments.spaces import build_space
from harness.evaluation.seeds import episode_seeds
from harness.seed_key import PUBLIC

CONFS = [
    EnvironmentConf("small_maze", "maze", {"min_size": 3, "max_size": 5}, max_steps=100),
    EnvironmentConf("motion2d", "kinder", {"id": "kinder/Motion2D-p1-v0"}, max_steps=500),
    EnvironmentConf("obstruction2d", "kinder", {"id": "kinder/Obstruction2D-o2-v0"}, max_steps=500),
    EnvironmentConf("cartpole", "gymnasium", {"id": "CartPole-v1", "solved_when": "truncated"}, max_steps=500),
    EnvironmentConf("pendulum", "gymnasium", {"id": "Pendulum-v1", "kwargs": {"g": 9.0}}, max_steps=200),
    EnvironmentConf("frozenlake", "gymnasium", {"id": "FrozenLake-v1", "solved_when": "rewarded"}, max_steps=100),
    EnvironmentConf("blackjack", "gymnasium", {"id": "Blackjack-v1", "solved_when": "rewarded"}, max_steps=20),
]
SEEDS = (0, 7, 2**62 + 1)


@pytest.fixture(params=CONFS, ids=lambda conf: conf.name)
def conf(request: pytest.FixtureRequest) -> EnvironmentConf:
    conf: EnvironmentConf = request.param
    if conf.kind == "kinder":
        pytest.importorskip("kinder", reason="the optional package kindergarden is not installed")
    return conf


@pytest.fixture
def environment(conf: EnvironmentConf) -> Iterator[Environment]:
    environment = make_environment(conf)
    yield environment
    environment.close()


def play(environment: Environment, seed: int, steps: int) -> Iterator[Step]:
    """Return the steps of an episode, with actions that the seed draws from the action space."""
    space = build_space(loads(dumps(environment.spaces()["action_space"])))
    space.seed(seed % 1000)
    for _ in range(steps):
        step = environment.step(environment.action(loads(dumps(space.sample()))))
        yield step
        if step.terminated or step.truncated:
            return


def test_an_episode_does_not_tell_its_seed_and_no_state_calls_up_a_held_out_one(environment: Environment) -> None:
    [seed] = episode_seeds(PUBLIC, "any", 1)
    told = repr(environment.reset(seed))
    for step in play(environment, 0, 3):
        told += repr(step)
    assert str(seed) not in told
    states: list[Any] = [
        seed,
        [seed],
        {"seed": seed},
        {"seed": seed, "actions": []},
        {"seed": float(seed), "actions": []},
    ]
    for state in states:
        with pytest.raises(ValueError, match="state"):
            environment.set_state(state)


def test_two_instances_agree_on_every_seed(conf: EnvironmentConf, environment: Environment) -> None:
    other = make_environment(conf)
    starts = set()
    for seed in SEEDS:
        first = dumps(environment.reset(seed))
        assert dumps(other.reset(seed)) == first
        starts.add(first)
        for one, two in zip(play(environment, seed, 20), play(other, seed, 20), strict=True):
            assert dumps(one) == dumps(two)
    assert conf.name in {"frozenlake", "blackjack"} or len(starts) == len(SEEDS)


def test_a_restored_state_continues_in_the_same_way(conf: EnvironmentConf, environment: Environment) -> None:
    environment.reset(3)
    for _ in play(environment, 1, 5):
        pass
    state = loads(dumps(environment.get_state()))
    continued = [dumps(step) for step in play(environment, 2, 10)]
    fresh = make_environment(conf)
    fresh.set_state(state)
    assert dumps(fresh.get_state()) == dumps(state)
    assert [dumps(step) for step in play(fresh, 2, 10)] == continued


def test_observations_are_plain_and_independent(environment: Environment) -> None:
    observation, info = environment.reset(0)
    before = dumps(observation)
    np.testing.assert_equal(loads(before), observation)
    assert isinstance(info, dict)
    for step in play(environment, 0, 3):
        assert isinstance(step.reward, float)
        assert (type(step.terminated), type(step.truncated)) == (bool, bool)
        dumps(step.observation)
    assert dumps(observation) == before, "a step changed an observation that was returned before"


@pytest.mark.parametrize(
    "plain", [None, "1", float("nan"), [float("nan")] * 5, [1e9] * 5, 10**9, -1, [[0.0]], {}, True, [None], [[1], 2]]
)
def test_a_value_that_is_not_an_action_is_refused_with_the_reason(environment: Environment, plain: Any) -> None:
    environment.reset(0)
    with pytest.raises(InvalidAction, match=r"action.*(must|shape)"):
        environment.action(plain)


@pytest.mark.parametrize("state", [None, 1, "x", [], {}, [float("nan")] * 39, {"seed": -1, "actions": []}, {"seed": 0}])
def test_a_value_that_is_not_a_state_is_a_value_error(environment: Environment, state: Any) -> None:
    with pytest.raises(ValueError, match="state"):
        environment.set_state(state)


def test_spaces_cross_the_border(environment: Environment) -> None:
    spaces = loads(dumps(environment.spaces()))
    assert set(spaces) == {"action_space", "observation_space"}
    for described in spaces.values():
        build_space(described)


def test_the_description_names_task_observation_and_action(environment: Environment) -> None:
    text = environment.describe()
    for heading in ("## Task", "## Observation", "## Action"):
        assert heading in text
    assert f"{environment.max_steps} steps" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("chess", {}, "choose from: maze, gymnasium, kinder"),
        ("maze", {"min_size": 3}, "arguments.*max_size.*the kind maze takes: min_size, max_size"),
        ("maze", {"min_size": 5, "max_size": 3}, "min_size <= max_size"),
        ("maze", {"min_size": "3", "max_size": 5}, "whole numbers"),
        ("maze", {"min_size": 3, "max_size": 5, "walls": 1}, "walls"),
        ("gymnasium", {"id": "NoSuchThing-v0"}, "NoSuchThing"),
        ("gymnasium", {"id": "CartPole-v1", "kwargs": {"nonsense": 1}}, "nonsense"),
        ("gymnasium", {"id": "CartPole-v1", "solved_when": "won"}, "terminated, rewarded, truncated"),
        ("gymnasium", {"id": "no_such_package_here:Thing-v0"}, f"{sys.executable} -m pip install no_such_package_here"),
    ],
)
def test_a_wrong_configuration_is_named(kind: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s)mine.*{message}|{message}.*mine"):
        make_environment(EnvironmentConf("mine", kind, arguments))


def test_a_missing_package_is_reported_without_importing_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.environments.factory._installed", lambda _package: False)
    conf = EnvironmentConf("motion2d", "kinder", {"id": "kinder/Motion2D-p0-v0"})
    assert available(conf) == "KinDER is not installed: run `proctor setup --extra kinder`"
    with pytest.raises(ValueError, match="proctor setup --extra kinder"):
        make_environment(conf)


def test_checking_availability_imports_no_adapter() -> None:
    program = (
        "import sys; from harness.case import EnvironmentConf as C; from harness.environments.factory import available;"
        "print(available(C('m', 'maze')), available(C('k', 'kinder', {'id': 'kinder/Motion2D-p0-v0'})) is not None);"
        "print(sorted({'kinder', 'gymnasium', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("None ")
    assert done.stdout.splitlines()[1] == "[]"


@pytest.mark.parametrize("name", ["plain.py", "spaces.py"])
def test_the_policy_side_files_stand_alone(name: str, tmp_path: Path) -> None:
    source = Path(harness.environments.__file__).with_name(name)
    (tmp_path / name).write_bytes(source.read_bytes())
    program = f"import {name[:-3]}, sys; assert not any(m.startswith('harness') for m in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
