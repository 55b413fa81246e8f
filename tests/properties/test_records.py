"""Events and records survive JSON exactly, whatever they contain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from backends import events as ev
from harness.results.record import Record

_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def instances(type_: inspect.Type) -> st.SearchStrategy[Any]:
    """Return a strategy for a msgspec type: finite numbers within its bounds, and texts that UTF-8 can encode."""
    return _STRATEGIES[type(type_)](type_)


def _structs(type_: Any) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: st.builds(type_.cls, **{field.name: instances(field.type) for field in type_.fields}))


def _integers(type_: Any) -> st.SearchStrategy[int]:
    low = type_.ge if type_.ge is not None else -(2**63) if type_.gt is None else type_.gt + 1
    return st.integers(low, type_.le if type_.le is not None else 2**63 - 1)


def _floats(type_: Any) -> st.SearchStrategy[float]:
    low = type_.ge if type_.ge is not None else type_.gt
    return st.floats(low, type_.le, exclude_min=type_.gt is not None, allow_nan=False, allow_infinity=False)


def _texts(type_: Any) -> st.SearchStrategy[str]:
    return st.text(min_size=type_.min_length or 0, max_size=max(8, type_.min_length or 0))


_STRATEGIES: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.StructType: _structs,
    inspect.IntType: _integers,
    inspect.FloatType: _floats,
    inspect.AnyType: lambda _: _plain,
    inspect.RawType: lambda _: _plain.map(lambda value: msgspec.Raw(msgspec.json.encode(value))),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.NoneType: lambda _: st.none(),
    inspect.DateType: lambda _: st.dates(),
    inspect.StrType: _texts,
    inspect.EnumType: lambda type_: st.sampled_from(type_.cls),
    inspect.LiteralType: lambda type_: st.sampled_from(type_.values),
    inspect.UnionType: lambda type_: st.one_of(*map(instances, type_.types)),
    inspect.ListType: lambda type_: st.lists(instances(type_.item_type), max_size=2),
    inspect.VarTupleType: lambda type_: st.lists(instances(type_.item_type), max_size=2).map(tuple),
    inspect.DictType: lambda type_: st.dictionaries(
        instances(type_.key_type) if isinstance(type_.key_type, inspect.IntType) else st.text(max_size=4),
        instances(type_.value_type),
        max_size=2,
    ),
}


@given(instances(inspect.type_info(ev.Event)))
def test_an_event_survives_json(event: ev.Event) -> None:
    assert msgspec.json.decode(msgspec.json.encode(event), type=ev.Event) == event


@given(instances(inspect.type_info(Record)))
def test_a_record_survives_json_on_one_line(record: Record) -> None:
    line = msgspec.json.encode(record)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Record) == record
