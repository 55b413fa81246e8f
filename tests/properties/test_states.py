"""The bounds of a state that an agent made up: what Gymnasium calls a member of the space is never refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from harness.environments.gymnasium_adapter import to_plain
from harness.environments.spaces import space_to_plain
from harness.mcp.states import LARGEST, absurd, outside

BOX = spaces.Box(np.array([-1, -np.inf, 0], np.float32), np.array([1, np.inf, np.inf], np.float32))
WORLD = spaces.Dict({"robot": BOX, "doors": spaces.Tuple([spaces.Discrete(3, start=2), spaces.MultiDiscrete([2, 4])])})


def listed(value: Any) -> Any:
    """Return a value as JSON brings it."""
    if isinstance(value, dict):
        return {key: listed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [listed(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


@given(st.integers(0, 1000))
def test_every_member_of_a_space_lies_within_it(seed: int) -> None:
    WORLD.seed(seed)
    assert outside(space_to_plain(WORLD), listed(to_plain(WORLD.sample()))) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"robot": [1.5, 0, 0]}, "state.robot[0] must lie in [-1, 1]; got 1.5"),
        ({"robot": [0, 1e8, -0.1]}, "state.robot[2] must lie in [0, inf]; got -0.1"),
        ({"doors": [5, [0, 0]]}, "state.doors[0] must lie in [2, 4]; got 5"),
        ({"doors": [2, [1, 4]]}, "state.doors[1][1] must lie in [0, 3]; got 4"),
    ],
)
def test_a_value_outside_is_named(change: dict[str, Any], said: str) -> None:
    assert outside(space_to_plain(WORLD), {"robot": [0, 0, 0], "doors": [2, [0, 0]]} | change) == said


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(plain)
def test_any_value_of_another_form_is_left_to_the_environment(value: Any) -> None:
    outside(space_to_plain(WORLD), value)
    why = absurd(value)
    numbers = [float(number) for number in _floats(value)]
    assert (why is None) == all(abs(number) <= LARGEST for number in numbers)


def _floats(value: Any) -> list[float]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, float) else [number for part in parts for number in _floats(part)]
