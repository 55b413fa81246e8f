"""Gymnasium and KinDER environments: what counts as solved, the states, and the descriptions."""

import re
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from harness.environment_conf import EnvironmentConf
from harness.environments.gymnasium_adapter import GymnasiumEnvironment
from tests.support.hosted import made_here


class Corridor(gymnasium.Env[Any, Any]):
    """An environment in which action 1 succeeds and action 2 fails, each with its reward and end."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - the form that Gymnasium asks for
    action_space = spaces.Discrete(3)
    observation_space = spaces.Dict({"cell": spaces.Discrete(9), "path": spaces.Box(0, 9, (2,), np.float32)})

    def __init__(self, **kwargs: Any) -> None:
        self.render_mode = kwargs["render_mode"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.path = np.zeros(2, np.float32)
        return self.look(), {"plain": np.int64(1), "not plain": object()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.path += 1
        return self.look(), float(action == 1), action > 0, False, {}

    def look(self) -> dict[str, Any]:
        return {"cell": np.int64(self.path[0]), "path": self.path}

    def render(self) -> Any:
        return np.zeros((4, 6, 4), np.uint8)


gymnasium.register("ProctorCorridor-v0", Corridor, max_episode_steps=3)


def outcome(solved_when: str, actions: list[int]) -> tuple[bool, bool]:
    environment = GymnasiumEnvironment("ProctorCorridor-v0", 10, solved_when=solved_when)
    environment.reset(0)
    *_, last = (environment.step(environment.action(action)) for action in actions)
    return last.terminated, last.truncated


SOLVED, FAILED, GOES_ON = (True, False), (False, True), (False, False)


@pytest.mark.parametrize(
    ("solved_when", "actions", "expected"),
    [
        ("terminated", [1], SOLVED),
        ("terminated", [2], SOLVED),
        ("terminated", [0, 0, 0], FAILED),
        ("rewarded", [1], SOLVED),
        ("rewarded", [2], FAILED),
        ("rewarded", [0, 0, 0], FAILED),
        ("truncated", [0, 0, 0], SOLVED),
        ("truncated", [0, 0, 1], FAILED),
        ("truncated", [2], FAILED),
        ("rewarded", [0], GOES_ON),
        ("truncated", [0], GOES_ON),
    ],
)
def test_terminated_means_solved(solved_when: str, actions: list[int], expected: tuple[bool, bool]) -> None:
    assert outcome(solved_when, actions) == expected


def test_observation_and_info_are_plain_copies() -> None:
    environment = GymnasiumEnvironment("ProctorCorridor-v0", 10)
    observation, info = environment.reset(0)
    environment.step(0)
    assert type(observation["cell"]) is int
    np.testing.assert_equal(observation, {"cell": 0, "path": np.zeros(2, np.float32)})
    assert info == {"plain": 1}


def test_a_state_is_the_seed_and_the_actions() -> None:
    environment = GymnasiumEnvironment("ProctorCorridor-v0", 10)
    environment.reset(5)
    environment.step(environment.action(0))
    assert environment.get_state() == {"seed": 5, "actions": [0]}
    for actions, message in (([7], "action 0 of the state"), ([1, 0], "over after 1"), ([0] * 11, "at most 10")):
        with pytest.raises(ValueError, match=message):
            environment.set_state({"seed": 0, "actions": actions})


@pytest.mark.parametrize("seed", [10_000, 2**31 - 1, -1, True, 1.0])
def test_a_state_has_no_seed_of_a_graded_episode(seed: Any) -> None:
    environment = GymnasiumEnvironment("ProctorCorridor-v0", 10)
    environment.reset(5)
    with pytest.raises(ValueError, match="seed of a state must be a whole number from 0 to 9999"):
        environment.set_state({"seed": seed, "actions": []})
    assert environment.get_state() == {"seed": 5, "actions": []}, "nothing has changed"
    environment.set_state({"seed": 9999, "actions": [0]})


def test_the_picture_is_rgb() -> None:
    environment = GymnasiumEnvironment("ProctorCorridor-v0", 10)
    environment.reset(0)
    assert environment.render().shape == (4, 6, 3)


def test_an_unsupported_action_space_is_refused() -> None:
    class Writing(Corridor):
        action_space = spaces.Tuple([spaces.Text(3)])  # type: ignore[assignment]  # another space on purpose

    gymnasium.register("ProctorWriting-v0", Writing)
    with pytest.raises(ValueError, match=r"Text.*not supported"):
        GymnasiumEnvironment("ProctorWriting-v0", 10)


@pytest.fixture
def motion2d() -> Any:
    pytest.importorskip("kinder", reason="the optional package kindergarden is not installed")
    return made_here(EnvironmentConf("motion2d", "kinder", {"id": "kinder/Motion2D-p1-v0"}, max_steps=500))


def test_kinder_describes_every_component(motion2d: Any) -> None:
    text = motion2d.describe()
    observation, _ = motion2d.reset(0)
    assert (observation.dtype, observation.shape) == (np.float32, (39,))
    assert "| 0 | robot | x | x of the centre of the round base |" in text
    assert "| 9 | target_region | x |" in text
    assert "| 38 | obstacle1 | height | extent along y at theta 0 |" in text
    assert "| 39 |" not in text
    assert "| 0 | dx | Change in robot x position (positive is right) | -0.050 | 0.050 |" in text
    assert "x in [0.0, 2.5], y in [0.0, 2.5]" in text


def test_kinder_accepts_actions_in_float64(motion2d: Any) -> None:
    motion2d.reset(0)
    action = motion2d.action(np.array([0.05, 0.0, np.pi / 16, 0.1, 1.0]))
    assert action.dtype == np.float32
    assert motion2d.step(action).reward == -1.0


def test_kinder_draws_itself_and_accepts_an_observation_as_a_state(motion2d: Any) -> None:
    observation, _ = motion2d.reset(0)
    picture = motion2d.render()
    assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)
    motion2d.reset(1)
    motion2d.set_state(observation.tolist())
    np.testing.assert_array_equal(motion2d.render(), picture)


def test_an_unknown_kinder_id_is_named_with_the_choices(motion2d: Any) -> None:
    with pytest.raises(ValueError, match=r"Motion3D-p9.*available: .*kinder/Motion2D-p0-v0"):
        type(motion2d)("kinder/Motion3D-p9-v0", 500)


def test_kinder_is_quiet(motion2d: Any) -> None:
    program = "from harness.environments.kinder import KinderEnvironment as K; K('kinder/Motion2D-p0-v0', 9).reset(0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_error_for_a_missing_package_says_how_to_install_it_for_this_python() -> None:
    def entry_point(**_kwargs: Any) -> gymnasium.Env[Any, Any]:
        raise gymnasium.error.DependencyNotInstalled('Box2D is not installed, run `pip install "gymnasium[box2d]"`')

    gymnasium.register("ProctorMissing-v0", entry_point)
    with pytest.raises(ValueError, match="run `" + re.escape(sys.executable) + " -m pip install"):
        GymnasiumEnvironment("ProctorMissing-v0", 10)


def test_kinder_refuses_a_state_with_an_absurd_number(motion2d: Any) -> None:
    motion2d.reset(0)
    state = motion2d.get_state().tolist()
    for index, number in ((3, 1e12), (0, -1e4), (16, 10**30)):
        with pytest.raises(ValueError, match=rf"number {index} of a state must lie in \[-1000, 1000\]"):
            motion2d.set_state([*state[:index], number, *state[index + 1 :]])


class Undrawn(gymnasium.Env[Any, Any]):
    observation_space = action_space = gymnasium.spaces.Discrete(2)

    def reset(self, **_: Any) -> tuple[int, dict[str, Any]]:
        return 0, {}


def test_a_class_without_render_is_told_in_words() -> None:
    environment = GymnasiumEnvironment(_target_=f"{__name__}.Undrawn", max_steps=10)
    with pytest.raises(RuntimeError, match=r"Undrawn has no render\(\)"):
        environment.render()


@pytest.mark.parametrize("target", [f"{__name__}.Corridor", f"{__name__}:Corridor"])
def test_a_class_outside_the_registry_is_named_by_its_target(target: str) -> None:
    environment = GymnasiumEnvironment(_target_=target, max_steps=10, kwargs={"render_mode": "rgb_array"})
    environment.reset(0)
    assert environment.step(environment.action(1)).terminated
    assert environment.render().shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "either the argument id or the argument _target_"),
        ({"id": "CartPole-v1", "_target_": f"{__name__}.Corridor"}, "either the argument id or the argument _target_"),
        ({"_target_": f"{__name__}.Nothing"}, "has no Nothing"),
        ({"_target_": "Corridor"}, "not an import path"),
        ({"_target_": f"{__name__}.SOLVED"}, "not a class or a function"),
        ({"_target_": "collections.OrderedDict"}, "makes a OrderedDict, which is not a gymnasium.Env"),
        ({"_target_": "gymnasium.envs.toy_text.TaxiEnv", "kwargs": {"size": 3}}, "size"),
    ],
)
def test_a_wrong_target_is_told(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        GymnasiumEnvironment(**arguments)
