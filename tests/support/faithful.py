"""Checks that an environment's states are as faithful as it says."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from harness.environments.base import PUBLIC_SEEDS, Environment, Plain
from harness.environments.exploring import fixed_action


class Draw(NamedTuple):
    """An episode of a seed: so many steps before its state is read, and after. `first` numbers the first action."""

    seed: int
    before: int
    after: int
    first: int


DRAWS = st.builds(
    Draw,
    seed=st.integers(0, PUBLIC_SEEDS[-1] - 1),
    before=st.integers(0, 12),
    after=st.integers(1, 6),
    first=st.integers(0, 10_000),
)


def assert_faithful(environment: Environment, other: Environment, draw: Draw) -> None:
    """Check that actions have the same results after a state is set, in this process and in that of `other`."""
    environment.reset(draw.seed)
    if over(play(environment, draw.first, draw.before)):
        return
    state = as_an_agent_has_it(environment.get_state())
    expected = play(environment, draw.first + draw.before, draw.after)
    environment.reset(draw.seed + 1)
    play(environment, draw.first + 100, 2)
    for one in (environment, other):
        one.set_state(state)
        close(as_an_agent_has_it(one.get_state()), state)
        assert play(one, draw.first + draw.before, draw.after) == expected, f"not the same after {draw}"


def play(environment: Environment, first: int, steps: int) -> list[Plain]:
    """Return the results of so many actions: observation, reward, terminated, truncated. They end with the episode."""
    space = environment.spaces()["action_space"]
    told: list[Plain] = []
    for number in range(first, first + steps):
        step = environment.step(environment.action(fixed_action(space, number)))
        told.append([as_an_agent_has_it(step.observation), step.reward, step.terminated, step.truncated])
        if step.terminated or step.truncated:
            break
    return told


def over(told: list[Plain]) -> bool:
    """Return whether an episode ended."""
    return bool(told) and (told[-1][2] or told[-1][3])


def as_an_agent_has_it(value: Plain) -> Plain:
    """Return plain data as an agent's tools show it: in JSON, with lists for arrays."""
    return json.loads(json.dumps(value, default=_listed))


def close(one: Any, other: Any) -> None:
    """Assert that two states are equal, but for the rounding of an angle."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            close(one[key], other[key])
    elif isinstance(one, float) or (isinstance(one, list) and one and isinstance(one[0], float)):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    elif isinstance(one, float):
        assert abs(one - other) <= 1e-12
    else:
        assert one == other


def _listed(array: Any) -> Any:
    assert isinstance(array, np.ndarray)
    return array.tolist()
