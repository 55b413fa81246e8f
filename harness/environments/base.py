"""The Environment protocol: a Gymnasium-style problem that speaks plain data.

Plain data is what crosses a process border: None, bool, int, float, str, lists and string-keyed dicts of these,
and NumPy arrays (sent as dtype, shape and bytes).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Plain = Any


class InvalidAction(Exception):
    """The submission returned something that is no action of this environment; the message says why."""


class Step(NamedTuple):
    """The outcome of one action. `terminated` means solved."""

    observation: Plain
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Plain]


class Environment(Protocol):
    """One problem, alive in the harness's process; the submission never is."""

    max_steps: int

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """Begin an episode; returns the first observation and info as plain data."""

    def action(self, plain: Plain) -> Any:
        """The action that `plain` stands for, cast to the action space's dtype. Raises `InvalidAction`."""

    def step(self, action: Any) -> Step:
        """Apply an action made by `action`."""

    def render(self) -> NDArray[np.uint8]:
        """The current state as an RGB picture, shape (height, width, 3)."""

    def describe(self) -> str:
        """What the agent is told: the task, the observation, the action and the reward, in Markdown."""

    def spaces(self) -> dict[str, Plain]:
        """`action_space` and `observation_space` as plain data; the policy's side builds Gymnasium spaces of it."""

    def get_state(self) -> Plain:
        """The state as plain data."""

    def set_state(self, state: Plain) -> None:
        """Put the environment into a state from `get_state`. Raises `ValueError` for anything else."""

    def close(self) -> None:
        """Free what it holds."""


class Policy(Protocol):
    """A program that plays an environment. Both methods raise what its host raises, `act` also `InvalidAction`."""

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float) -> None:
        """Begin an episode."""

    def act(self, observation: Plain, timeout_s: float) -> Plain:
        """Choose an action."""
