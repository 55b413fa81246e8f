"""Object-centric states cross the border of processes: a rebuilt state has the same objects, types and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from relational_structs.object_centric_state import ObjectCentricState
from relational_structs.objects import Object, Type

from harness.environments.object_centric import build_space, space_to_plain, state_to_plain
from harness.environments.plain import dumps, loads

names = st.text("abcxyz_0123", min_size=1, max_size=6)
numbers = st.floats(width=32, allow_nan=False)


@st.composite
def families(draw: st.DrawFn) -> dict[Type, list[str]]:
    """Draw types with their features. Some are kinds of another one, which may have no features of its own."""
    types: list[Type] = []
    for name in draw(st.lists(names, min_size=1, max_size=5, unique=True)):
        types.append(Type(name, draw(st.sampled_from([None, *types]))))
    with_features = draw(st.sets(st.sampled_from(types), min_size=1))
    return {kind: draw(st.lists(names, min_size=1, max_size=4, unique=True)) for kind in types if kind in with_features}


@st.composite
def states(draw: st.DrawFn) -> ObjectCentricState:
    features = draw(families())
    dtype: Any = draw(st.sampled_from([np.float32, np.float64]))
    data = {}
    for name in draw(st.lists(names, max_size=6, unique=True)):
        kind = draw(st.sampled_from(list(features)))
        size = len(features[kind])
        data[Object(name, kind)] = np.array(draw(st.lists(numbers, min_size=size, max_size=size)), dtype)
    return ObjectCentricState(data, features)


def over_the_border(value: Any) -> Any:
    return loads(dumps(value))


@given(states())
@settings(deadline=None, max_examples=50)
def test_a_rebuilt_state_is_the_same(state: ObjectCentricState) -> None:
    space = build_space(over_the_border(space_to_plain(state.type_features)))
    again = space.from_plain(over_the_border(state_to_plain(state)))
    assert space.contains(again)
    assert list(again.data) == list(state.data)
    for thing in state:
        assert again.data[thing].dtype == state.data[thing].dtype
        assert again.data[thing].tolist() == state.data[thing].tolist()
        found = again.get_object_from_name(thing.name)
        assert found.type == space.get_type(thing.type.name) == thing.type
        assert found.type.get_ancestors() == thing.type.get_ancestors()
    assert again.type_features == state.type_features == space.type_features
    assert {kind.name for kind in space.types} == {kind.name for kind in state.type_features}


@given(states())
@settings(deadline=None, max_examples=20)
def test_a_policy_that_changes_its_state_changes_no_other(state: ObjectCentricState) -> None:
    plain = over_the_border(state_to_plain(state))
    space = build_space(space_to_plain(state.type_features))
    for thing in space.from_plain(plain):
        space.from_plain(plain).data[thing][:] = 7
    assert space.from_plain(plain).allclose(state)
