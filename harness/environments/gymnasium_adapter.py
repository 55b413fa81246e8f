"""An adapter for any environment that is registered with Gymnasium."""

from __future__ import annotations

import inspect
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import Error as GymnasiumError
from numpy.typing import NDArray

from harness.environments.actions import cast, check_supported
from harness.environments.base import InvalidAction, Plain, Step, public_seed
from harness.environments.fidelity import Fidelity, sentence
from harness.environments.object_space import object_space_to_plain
from harness.environments.spaces import space_to_plain
from harness.environments.targets import make_target

SOLVED_WHEN: dict[str, Callable[[bool, bool, float], bool]] = {
    "terminated": lambda terminated, _truncated, _reward: terminated,
    "rewarded": lambda terminated, _truncated, reward: terminated and reward > 0,
    "truncated": lambda terminated, truncated, _reward: truncated and not terminated,
}
"""What "solved" means, given how a step ended (terminated, truncated, reward).

`terminated`: the environment terminates only when the goal is reached (MountainCar). `rewarded`: it terminates at
success and at failure, and rewards success (FrozenLake, MiniGrid). `truncated`: the goal is to last until the time
limit (CartPole).
"""


REPLAY_S = 15.0
"""Seconds that `set_state` may replay actions. A tool has to answer before a call may take no longer."""


class GymnasiumEnvironment:
    """The environment with this Gymnasium id, made with `kwargs`. For `module:id`, the module is imported first.

    In place of an id, `_target_` names the class of an environment, or a function that makes one, by its import path.
    `Step.terminated` means solved, so an episode that ends unsolved is reported as truncated. The state is the seed and
    the actions so far, and `set_state` replays them, for at most `REPLAY_S` seconds. This is exact if the environment
    is deterministic for a given seed. An environment that does not draw RGB pictures is made without a render mode, and
    `render` then raises. Raise `ValueError` for an unknown id, for kwargs that it does not take, and for an action
    space that is not supported.
    """

    state_fidelity: Fidelity = "replay"

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - Gymnasium and the configuration use this name
        max_steps: int = 1000,
        kwargs: Mapping[str, Any] | None = None,
        solved_when: str = "terminated",
        _target_: str | None = None,
    ) -> None:
        if (id is None) == (_target_ is None):
            raise ValueError("give either the argument id or the argument _target_")
        if solved_when not in SOLVED_WHEN:
            raise ValueError(
                f"solved_when must be one of {', '.join(SOLVED_WHEN)}; got {solved_when!r}; a rule about the info or "
                "the return stands beside `arguments`, not in them"
            )
        self.max_steps = max_steps
        self.id = str(id or _target_)
        self._solved = SOLVED_WHEN[solved_when]
        self._solved_when = solved_when
        self._undrawn: str | None = None
        self.env = make_target(_target_, kwargs or {}) if _target_ else self._make(dict(kwargs or {}))
        check_supported(self.env.action_space)
        self._seed: int | None = None
        self._actions: list[Any] = []

    def _make(self, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
        given = {"disable_env_checker": True, **kwargs}
        if "render_mode" not in given:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", ".*render_mode")
                    return gymnasium.make(self.id, render_mode="rgb_array", **given)
            except Exception as error:  # an environment can refuse a render mode with any error
                self._undrawn = _for_this_python(error)
        try:
            return gymnasium.make(self.id, **given)
        except (GymnasiumError, ImportError, TypeError) as error:
            reason = _for_this_python(error)
            raise ValueError(f"cannot make the Gymnasium environment {self.id!r} with {kwargs}: {reason}") from error

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """Begin the episode of this seed."""
        observation, info = self.env.reset(seed=seed)
        self._seed, self._actions = seed, []
        return to_plain(observation), _plain_info(info)

    def action(self, plain: Plain) -> Any:
        """Return the action that `plain` stands for. Raise `InvalidAction` if there is none."""
        return cast(self.env.action_space, plain)

    def step(self, action: Any) -> Step:
        """Apply an action. `terminated` is true when the episode was solved as `solved_when` says."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._actions.append(action)
        solved = self._solved(bool(terminated), bool(truncated), float(reward))
        over = bool(terminated or truncated)
        return Step(to_plain(observation), float(reward), solved, over and not solved, _plain_info(info))

    def render(self) -> NDArray[np.uint8]:
        """Return the picture that the environment itself draws. Raise `RuntimeError` if it draws none."""
        if self._undrawn is None:
            try:
                picture = np.asarray(self.env.render())
            except GymnasiumError as error:
                raise RuntimeError(_for_this_python(error)) from error
            except NotImplementedError as error:
                raise RuntimeError(f"{self.id} has no render()") from error
            if picture.ndim == 3 and picture.shape[2] in (3, 4):
                return picture[:, :, :3].astype(np.uint8)
        modes = self.env.metadata.get("render_modes") or ["none"]
        why = self._undrawn or "render() returned something else"
        if "rgb_array" not in modes:
            why = f"its render modes are {', '.join(map(str, modes))}"
        raise RuntimeError(f"it draws no RGB picture: {why}")

    def describe(self) -> str:
        """Return the environment's own documentation and its spaces, in Markdown."""
        return _DESCRIPTION.format(
            id=self.id,
            documentation=_documentation(self.env),
            observation=self.env.observation_space,
            action=self.env.action_space,
            solved=_SOLVED_TEXT[self._solved_when],
            max_steps=self.max_steps,
            fidelity=sentence(self.state_fidelity),
        )

    def spaces(self) -> dict[str, Plain]:
        """Return both spaces in the plain form of `harness.environments.spaces` and `object_space`."""
        seen = self.env.observation_space
        return {
            "action_space": space_to_plain(self.env.action_space),
            "observation_space": {**space_to_plain(seen), **object_space_to_plain(seen)},
        }

    def get_state(self) -> Plain:
        """Return `{"seed": int, "actions": [plain]}`."""
        return {"seed": self._seed, "actions": [to_plain(action) for action in self._actions]}

    def set_state(self, state: Plain) -> None:
        """Reset with the seed and replay the actions.

        Raise `ValueError` if that cannot be done, and for a seed that an agent must not look at.
        """
        if not isinstance(state, dict) or set(state) != {"seed", "actions"}:
            raise ValueError("a state is an object with exactly the keys seed, actions")
        seed, actions = public_seed(state["seed"]), state["actions"]
        if not isinstance(actions, list) or len(actions) > self.max_steps:
            raise ValueError(f"a state has a list of at most {self.max_steps} actions")
        checked = [self._checked(action, index) for index, action in enumerate(actions)]
        self.reset(seed)
        deadline = time.monotonic() + REPLAY_S
        for index, action in enumerate(checked):
            if time.monotonic() > deadline:
                raise ValueError(f"the first {index} of {len(checked)} actions took {REPLAY_S:g} s: give fewer")
            step = self.step(action)
            if (step.terminated or step.truncated) and index + 1 < len(checked):
                raise ValueError(f"the episode is over after {index + 1} of {len(checked)} actions")

    def _checked(self, action: Plain, index: int) -> Any:
        try:
            return self.action(action)
        except InvalidAction as error:
            raise ValueError(f"action {index} of the state: {error}") from error

    def close(self) -> None:
        """Free the environment's windows and engines."""
        self.env.close()


def _for_this_python(error: Exception) -> str:
    """Return the text of an error, with commands of pip for the Python that runs."""
    said = re.sub(r"\bpip install", f"{sys.executable} -m pip install", str(error))
    return said or type(error).__name__


def to_plain(value: Any) -> Plain:
    """Return a copy of an observation or action as plain data. Raise `TypeError` if it has no plain form."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value.copy()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: to_plain(item) for key, item in value.items()}
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent to a submission")


def _plain_info(info: Mapping[str, Any]) -> dict[str, Plain]:
    """Return the entries of `info` that have a plain form. The others never leave the harness."""
    plain: dict[str, Plain] = {}
    for key, value in info.items():
        try:
            plain[str(key)] = to_plain(value)
        except TypeError:
            continue
    return plain


def _documentation(env: gymnasium.Env[Any, Any]) -> str:
    text = type(env.unwrapped).__doc__
    return inspect.cleandoc(text) if text else "The environment has no documentation."


_SOLVED_TEXT = {
    "terminated": "the environment terminates",
    "rewarded": "the environment terminates with a positive reward in the last step",
    "truncated": "it lasts until the environment's own time limit without terminating",
}

_DESCRIPTION = """\
## Task
The Gymnasium environment `{id}`. An episode is solved when {solved}; it ends unsolved after {max_steps} steps.

{documentation}

## Observation
A member of `{observation}`, as NumPy arrays and plain Python values (a Tuple space arrives as a list).

A state, where a tool asks for one, is `{{"seed": int, "actions": [...]}}`: what these actions lead to after a reset.
{fidelity}

## Action
A member of `{action}`; numbers are cast to its dtype. Anything outside the space is an invalid action and ends the
episode.
"""
