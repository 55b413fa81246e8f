"""Plain data crosses the process border unchanged, and nothing else crosses it."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.environments.plain import MAX_DEPTH, dumps, loads

DTYPES = ["bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))]
DTYPES += ["float16", "float32", "float64"]

arrays = st.sampled_from(DTYPES).flatmap(lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, min_side=0)))
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | arrays
plain = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "__array__"), inner),
    max_leaves=20,
)
json_trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*DTYPES, "object", "V8", "<U4"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.just("__array__") | st.text(), inner),
)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal in type, dtype and value. NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def framed(text: bytes, contents: bytes = b"") -> bytes:
    """Return a message of this text and these contents of arrays."""
    return len(text).to_bytes(4, "big") + text + contents


@given(plain)
@settings(deadline=None)
def test_the_data_that_was_sent_arrives(value: Any) -> None:
    assert same(loads(dumps(value)), value)


def described(value: Any) -> Any:
    """Return what the text of a message has in place of an array or a string."""
    return {"__array__": [value.dtype.name, list(value.shape)]} if isinstance(value, np.ndarray) else value


@given(st.dictionaries(st.text().filter(lambda key: key != "__array__"), arrays | st.text(), max_size=10))
@settings(deadline=None)
def test_a_message_is_its_text_and_the_contents_of_its_arrays(value: dict[str, Any]) -> None:
    text = json.dumps({key: described(item) for key, item in value.items()}, separators=(",", ":")).encode()
    message = framed(text, b"".join(item.tobytes() for item in value.values() if isinstance(item, np.ndarray)))
    assert dumps(value) == message
    assert dumps(value) == message  # the second time, the text is known


@given(plain)
@settings(deadline=None)
def test_who_changes_what_arrived_does_not_change_what_arrives_next(value: Any) -> None:
    message = dumps([value])
    spoil(loads(message))
    assert same(loads(message), [value])


def spoil(value: Any) -> None:
    """Change everything in a value that can be changed."""
    if isinstance(value, np.ndarray):
        value[...] = 1
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            spoil(item)
        value.clear()


def test_equal_values_of_other_types_stay_apart() -> None:
    array = np.zeros(1, np.int8)
    for value in (1, True, 1.0, "1", array, array.astype(np.uint8), array.reshape(1, 1)):
        sent = {"value": value}
        assert same(loads(dumps(sent)), sent)


@given(arrays)
@settings(deadline=None)
def test_byte_order_memory_layout_and_ownership_do_not_matter(array: Any) -> None:
    for variant in (
        array.astype(array.dtype.newbyteorder(">")),
        np.asfortranarray(array),
        array[..., ::-1] if array.ndim else array,
    ):
        received = loads(dumps(variant))
        assert received.dtype == array.dtype
        assert received.flags.writeable
        np.testing.assert_array_equal(received, variant)


@given(st.binary() | st.builds(framed, json_trees.map(lambda tree: json.dumps(tree).encode()), st.binary()))
@example(framed(b"[" * 100_000))
@example(framed(b'{"__array__":["float64",[2,2]]}', b"3 bytes are too few"))
@example(framed(b'{"__array__":["float64",[1]]}', b"9 are many"))
@example(framed(b'{"__array__":["object",[1]]}', b"8 bytes."))
@example(framed(b'{"__array__":["bool",[1]]}', b"\2"))
@example(framed(b'{"__array__":["uint8",[-1,-1]]}', b"."))
@example(framed(b'{"__array__":["uint8",[0,99999999999999999999]]}'))
@example(framed(b'{"__array__":["uint8",[true]]}', b"."))
@example(framed(b'{"__array__":["uint8",[1]],"more":1}', b"."))
@example(framed(b"1", b"."))
@example(framed(b'{"a":1,"a":2}'))
@example(framed(b"9" * 10_000))
@example(b"\xff\xff\xff\xff1")
@settings(deadline=None)
def test_any_bytes_give_data_or_a_value_error(data: bytes) -> None:
    try:
        value = loads(data)
    except ValueError:
        return
    assert same(loads(dumps(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1: 2},
        {"__array__": 1},
        {1, 2},
        1j,
        b"bytes",
        np.array([object()]),
        np.array(["text"]),
        np.array([1j]),
        np.zeros(2, [("a", "i4")]),
        np.datetime64("2020-01-01"),
        np.zeros((0, 1 << 40)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_that_is_not_plain_cannot_be_sent(value: Any) -> None:
    with pytest.raises(ValueError, match=r"plain data|key|large"):
        dumps([value])
    with pytest.raises(ValueError, match=r"plain data|key|large"):
        dumps({"value": value})


def test_tuples_and_numpy_scalars_arrive_as_plain_values() -> None:
    assert loads(dumps((np.int64(3), np.float32(0.5), np.bool_(True), (1, 2)))) == [3, 0.5, True, [1, 2]]


def test_nesting_and_length_are_limited() -> None:
    deep: list[Any] = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert loads(dumps(deep)) == deep
    for refused in (lambda: dumps([deep]), lambda: loads(framed(b"[" + dumps(deep)[4:] + b"]"))):
        with pytest.raises(ValueError, match="nested"):
            refused()
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested"):
        dumps(endless)
    with pytest.raises(ValueError, match="more than 4"):
        loads(framed(b"[1,2]"), limit=4)
