"""Object-centric states as plain data and back, so that a submission in its sandbox receives real ones.

An `ObjectCentricState` of the package `relational_structs` has objects, each with a type and with the features of that
type. Other states of the same space may have other objects.

The plain form of a space is `{"type": "objects", "types": [{"name": …, "parent": NAME or null, "features": [NAME, …] or
null}]}`, with parents before their children. A parent that no object has may be without features. The plain form of a
state is `{"objects": [[NAME, TYPE], …], "values": array}`: the features of all objects, one after the other.

This file needs only NumPy and relational_structs, so that it can be shown to the policy's sandbox and imported there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

try:
    from relational_structs.object_centric_state import ObjectCentricState
    from relational_structs.objects import Object, Type
    from relational_structs.spaces import ObjectCentricStateSpace
except ModuleNotFoundError as error:
    lacking = str(error.name).partition(".")[0]
    raise ModuleNotFoundError(
        f"the observations of this environment are object-centric states, and this Python lacks {lacking}: run "
        "`proctor setup --extra kinder`",
        name=error.name,
    ) from error


class ObjectSpace(ObjectCentricStateSpace):
    """A space of states that differ in their objects.

    `type_features` has the names of the features of each type, in their order.
    """

    def __init__(self, type_features: Mapping[Type, list[str]], ancestors: Mapping[str, Type]) -> None:
        super().__init__(list(type_features))
        self.type_features = dict(type_features)
        self._by_name = {**ancestors, **{kind.name: kind for kind in type_features}}
        self._objects: dict[tuple[str, str], Object] = {}

    def get_type(self, name: str) -> Type:
        """Return the type of this name. Raise `KeyError` if there is none."""
        return self._by_name[name]

    def from_plain(self, plain: Mapping[str, Any]) -> ObjectCentricState:
        """Return the state that `state_to_plain` described. Raise `ValueError` if it does not fit this space."""
        values, start = np.asarray(plain["values"]), 0
        data: dict[Object, Any] = {}
        for name, kind in plain["objects"]:
            thing = self._object(name, kind)
            end = start + len(self.type_features[thing.type])
            data[thing] = values[start:end].copy()
            start = end
        if start != len(values):
            raise ValueError(f"a state of {len(data)} objects has {start} features, not {len(values)}")
        return ObjectCentricState(data, self.type_features)

    def _object(self, name: str, kind: str) -> Object:
        """Return an object. It is made once, because the hash of an object costs more than the rest of a state."""
        if (name, kind) not in self._objects:
            found = self._by_name.get(kind)
            if found not in self.type_features:
                raise ValueError(f"the object {name} has the type {kind}, which this space does not have")
            self._objects[name, kind] = Object(name, found)
        return self._objects[name, kind]


def state_to_plain(state: ObjectCentricState) -> dict[str, Any]:
    """Return the plain form of a state. Objects keep their order.

    Values keep their type. If some objects have float32 and others float64, all become float64.
    """
    rows = [np.asarray(state.data[thing]) for thing in state.data]
    return {
        "objects": [[thing.name, thing.type.name] for thing in state.data],
        "values": np.concatenate(rows) if rows else np.zeros(0),
    }


def space_to_plain(type_features: Mapping[Type, list[str]]) -> dict[str, Any]:
    """Return the plain form of the space of all states with objects of these types."""
    kinds = sorted({kind for key in type_features for kind in _with_ancestors(key)}, key=_depth_and_name)
    types = [
        {
            "name": kind.name,
            "parent": kind.parent.name if kind.parent else None,
            "features": list(type_features[kind]) if kind in type_features else None,
        }
        for kind in kinds
    ]
    return {"type": "objects", "types": types}


def build_space(plain: Mapping[str, Any]) -> ObjectSpace:
    """Return the space that `space_to_plain` described."""
    made: dict[str, Type] = {}
    features: dict[Type, list[str]] = {}
    for entry in plain["types"]:
        kind = Type(entry["name"], None if entry["parent"] is None else made[entry["parent"]])
        made[kind.name] = kind
        if entry["features"] is not None:
            features[kind] = list(entry["features"])
    return ObjectSpace(features, made)


def _with_ancestors(kind: Type | None) -> Iterator[Type]:
    while kind is not None:
        yield kind
        kind = kind.parent


def _depth_and_name(kind: Type) -> tuple[int, str]:
    return len(list(_with_ancestors(kind))), kind.name
