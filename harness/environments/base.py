"""The Environment protocol: a Gymnasium-style problem that speaks plain data.

Plain data is what crosses a process border: `None`, bool, int, float, str, NumPy arrays (sent as dtype, shape and
bytes), and lists and string-keyed dicts of these.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Plain = Any

PUBLIC_SEEDS = range(10_000)
"""The seeds that an agent may look at. Graded episodes have larger ones."""


def public_seed(seed: Plain) -> int:
    """Return the seed of a state that an agent made up. Raise `ValueError` if an agent must not look at it."""
    if type(seed) is not int or seed not in PUBLIC_SEEDS:
        raise ValueError(f"the seed of a state must be a whole number from 0 to {PUBLIC_SEEDS[-1]}; got {seed!r:.80}")
    return seed


class InvalidAction(Exception):
    """The submission returned something that is not an action of this environment. The message says why."""


class Step(NamedTuple):
    """The outcome of one action. `terminated` means solved."""

    observation: Plain
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Plain]


class Environment(Protocol):
    """One problem. It runs in the harness's process. The submission does not.

    An environment may have the attribute `state_fidelity` of `harness.environments.fidelity`, which says what
    `set_state` can do. Without it, that is unknown.
    """

    @property
    def max_steps(self) -> int:
        """The step limit of an episode. An attribute will do."""

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """Begin an episode. Return the first observation and the info as plain data."""

    def action(self, plain: Plain) -> Any:
        """Return the action that `plain` stands for, cast to the action space's dtype. Raise `InvalidAction`."""

    def step(self, action: Any) -> Step:
        """Apply an action that `action` returned."""

    def render(self) -> NDArray[np.uint8]:
        """Return the current state as an RGB picture of shape (height, width, 3)."""

    def describe(self) -> str:
        """Return what the agent is told, in Markdown: the task, the observation, the action and the reward."""

    def spaces(self) -> dict[str, Plain]:
        """Return `action_space` and `observation_space` as plain data.

        The policy's side makes Gymnasium spaces from it.
        """

    def get_state(self) -> Plain:
        """Return the state as plain data."""

    def set_state(self, state: Plain) -> None:
        """Put the environment into a state from `get_state`. Raise `ValueError` for anything else.

        An agent draws states in this way. So a state with a seed outside `PUBLIC_SEEDS` must be refused.
        """

    def close(self) -> None:
        """Free what the environment holds."""


class Policy(Protocol):
    """A program that plays an environment.

    Each method raises what the program's host raises. `act` also raises `InvalidAction`.
    """

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float) -> None:
        """Begin an episode."""

    def act(self, observation: Plain, timeout_s: float) -> Plain:
        """Return the action for this observation."""

    def update(self, step: Step, timeout_s: float) -> None:
        """Tell the program the outcome of its last action, if it wants to be told."""
