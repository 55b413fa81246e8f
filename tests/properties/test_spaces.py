"""Spaces and actions cross the process border: a rebuilt space equals the original, and its samples are its actions."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.environments.actions import cast, check_supported
from harness.environments.base import InvalidAction
from harness.environments.exploring import NoAction, fixed_action
from harness.environments.gymnasium_adapter import to_plain
from harness.environments.plain import dumps, loads
from harness.environments.spaces import build_space, space_to_plain

shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@st.composite
def boxes(draw: st.DrawFn) -> spaces.Box:
    dtype: Any = draw(st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.uint8]))
    shape = draw(shapes)
    low = draw(st.integers(0, 5))
    return spaces.Box(low, low + draw(st.integers(0, 9)), shape, dtype)


simple = (
    boxes()
    | st.builds(spaces.Discrete, st.integers(1, 9), start=st.integers(-5, 5))
    | st.builds(
        lambda n, start: spaces.MultiDiscrete([n, n + 1], start=[start, 0]), st.integers(1, 9), st.integers(-3, 3)
    )
    | st.builds(spaces.MultiBinary, st.integers(1, 4) | st.lists(st.integers(1, 3), min_size=1, max_size=2))
)
action_spaces: st.SearchStrategy[spaces.Space[Any]] = st.recursive(
    simple,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple)
        | st.dictionaries(st.text("abc", min_size=1), inner, min_size=1, max_size=3).map(spaces.Dict)
    ),
    max_leaves=5,
)
all_spaces = action_spaces | simple.map(spaces.Sequence) | st.builds(spaces.Text, st.integers(1, 9))


def over_the_border(value: Any) -> Any:
    return loads(dumps(value))


@given(all_spaces)
@settings(deadline=None)
def test_a_rebuilt_space_equals_the_original(space: spaces.Space[Any]) -> None:
    assert build_space(over_the_border(space_to_plain(space))) == space


def test_a_space_without_plain_form_arrives_as_a_bare_space() -> None:
    graph = spaces.Graph(spaces.Discrete(2), None)
    described = space_to_plain(spaces.Dict({"graph": graph, "x": spaces.Discrete(2)}))
    rebuilt = build_space(over_the_border(described))
    assert isinstance(rebuilt, spaces.Dict)
    assert type(rebuilt["graph"]) is spaces.Space
    with pytest.raises(ValueError, match="Graph"):
        check_supported(spaces.Tuple([graph]))


@pytest.mark.parametrize("plain", [None, {}, {"type": "nonsense"}, {"type": "box"}, {"type": "discrete", "n": "x"}, []])
def test_data_that_is_not_a_space_is_a_value_error(plain: Any) -> None:
    with pytest.raises(ValueError, match="not a space"):
        build_space(plain)


@given(action_spaces, st.integers(0, 2**31))
@settings(deadline=None)
def test_every_member_is_an_action(space: spaces.Space[Any], seed: int) -> None:
    space.seed(seed)
    sample = space.sample()
    action = cast(space, over_the_border(to_plain(sample)))
    assert space.contains(action)
    np.testing.assert_equal(action, sample)


@given(
    action_spaces, st.none() | st.text() | st.floats() | st.integers() | st.lists(st.floats() | st.none() | st.text())
)
@settings(deadline=None)
def test_any_other_value_is_a_member_or_an_invalid_action(space: spaces.Space[Any], plain: Any) -> None:
    try:
        action = cast(space, plain)
    except InvalidAction:
        return
    assert space.contains(action)


BOX = spaces.Box(np.array([-1, 0], np.float32), np.array([1, np.pi / 16], np.float32))


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (None, "must be an array of numbers of shape (2,)"),
        ("go", "must be an array of numbers"),
        ([0.0, None], "must be an array of numbers"),
        ([[0.0], 0.0], "must be an array of numbers"),
        ([True, False], "must be an array of numbers"),
        ([0.0], "must have shape (2,); got shape (1,)"),
        (np.zeros((2, 1)), "must have shape (2,)"),
        ([0.0, float("nan")], "action[1] must be finite"),
        ([float("inf"), 0.0], "action[0] must be finite"),
        ([0.0, 0.5], "action[1] must lie in [0.0, 0.19634"),
        ([1e300, 0.0], "action[0] must lie in"),
        ({"dx": 1.0}, "must be an array of numbers"),
    ],
)
def test_an_invalid_box_action_is_explained(plain: Any, message: str) -> None:
    with pytest.raises(InvalidAction) as caught:
        cast(BOX, plain)
    assert message in str(caught.value)


def test_numbers_are_cast_before_they_are_compared_with_the_bounds() -> None:
    action = cast(BOX, np.array([1.0, np.pi / 16], np.float64))
    assert action.dtype == np.float32
    assert BOX.contains(action)


@pytest.mark.parametrize("plain", [-1, 3, 1.0, True, "1", None, [1], 10**30, float("nan")])
def test_a_discrete_action_is_an_integer_in_range(plain: Any) -> None:
    with pytest.raises(InvalidAction):
        cast(spaces.Discrete(3), plain)


def test_the_part_of_a_compound_action_is_named() -> None:
    space = spaces.Dict({"arm": spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)])})
    with pytest.raises(InvalidAction, match=r"action\.arm\[1\] must lie in \[0, 1\]; got 7"):
        cast(space, {"arm": [0, 7]})


@given(action_spaces, st.integers(0, 1000))
@settings(deadline=None)
def test_a_fixed_action_is_an_action_of_its_space_and_always_the_same(space: spaces.Space[Any], number: int) -> None:
    plain = space_to_plain(space)
    assert space.contains(cast(space, over_the_border(fixed_action(plain, number))))
    assert dumps(fixed_action(plain, number)) == dumps(fixed_action(over_the_border(plain), number))


def test_fixed_actions_are_spread_over_their_space() -> None:
    chosen = [fixed_action(space_to_plain(spaces.Discrete(4, start=2)), number) for number in range(8)]
    assert set(chosen) == {2, 3, 4, 5}
    unbounded = space_to_plain(spaces.Box(-np.inf, np.inf, (2,)))
    pushes = [fixed_action(unbounded, number) for number in range(8)]
    assert len({push.tobytes() for push in pushes}) == 8
    assert all(np.abs(push).max() <= 1 for push in pushes)


def test_a_text_is_made_of_the_characters_of_its_space() -> None:
    space = spaces.Text(5, min_length=2, charset="ab")
    assert all(fixed_action(space_to_plain(space), number) in space for number in range(20))


def test_a_space_without_plain_form_has_no_fixed_action() -> None:
    with pytest.raises(NoAction, match="there is no action for the space"):
        fixed_action(space_to_plain(spaces.Dict({"x": spaces.Graph(spaces.Discrete(2), None)})), 0)
