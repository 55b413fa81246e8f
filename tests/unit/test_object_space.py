"""The space of object features reaches a program as KinDER made it."""

from __future__ import annotations

import copy
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from relational_structs.object_centric_state import ObjectCentricState
from relational_structs.objects import Object, Type
from relational_structs.spaces import ObjectCentricBoxSpace

from harness.environments import plain
from harness.environments.object_space import StateClass, build_object_space, object_space_to_plain
from harness.environments.spaces import build_space, space_to_plain

THING = Type("thing")
TYPES = (THING, Type("robot"), Type("block", THING), Type("hook", Type("tool", THING)))
"""The type `tool` has no features of its own."""


class OwnState(ObjectCentricState):
    """A class of states, as KinDER's environments in 3D have one."""


def sent(space: gymnasium.Space[object]) -> gymnasium.Space[object]:
    """Return a space as it comes out at the other end."""
    described = plain.loads(plain.dumps({**space_to_plain(space), **object_space_to_plain(space)}))
    built: gymnasium.Space[object] = build_object_space(described, build_space)
    return built


@given(
    st.lists(st.sampled_from(TYPES), min_size=1, max_size=6),
    st.lists(st.integers(1, 4), min_size=len(TYPES), max_size=len(TYPES)),
    st.sampled_from([np.float32, np.float64]),
)
def test_a_vector_becomes_the_same_state_on_both_sides(kinds: list[Type], widths: list[int], dtype: type) -> None:
    features = {kind: [f"f{n}" for n in range(width)] for kind, width in zip(TYPES, widths, strict=True)}
    objects = [Object(f"{kind.name}{number}", kind) for number, kind in enumerate(kinds)]
    space = ObjectCentricBoxSpace(objects, features, state_cls=OwnState, dtype=dtype)
    built = sent(space)
    assert isinstance(built, ObjectCentricBoxSpace)
    assert (built.constant_objects, built.type_features, built.dtype) == (objects, features, space.dtype)
    vector: NDArray[Any] = np.arange(space.shape[0], dtype=dtype)
    state = copy.deepcopy(built).devectorize(vector)
    assert type(state) is OwnState
    assert state.data.keys() == space.devectorize(vector).data.keys()
    assert state == space.devectorize(vector)
    assert np.array_equal(built.vectorize(state), vector)


def test_a_state_of_a_class_that_is_not_installed_is_a_plain_one() -> None:
    assert StateClass("no_such_module:State", ObjectCentricState)({}, {}) == ObjectCentricState({}, {})


def test_without_objects_or_without_the_package_it_is_another_space(monkeypatch: pytest.MonkeyPatch) -> None:
    box = gymnasium.spaces.Box(0, 1, (2,))
    assert sent(box) == box
    space = ObjectCentricBoxSpace([Object("a", THING)], {THING: ["x"]})
    monkeypatch.setitem(sys.modules, "relational_structs", None)
    assert type(sent(space)) is gymnasium.spaces.Box
