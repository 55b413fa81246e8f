"""Spaces of object features as plain data and back, so that a program can turn vectors into states of objects.

KinDER's observations are vectors. Their space, an `ObjectCentricBoxSpace` of the package `relational_structs`, knows
which features of which objects the numbers are: `space.devectorize(vector)` is the state, and `space.vectorize(state)`
the vector. Its plain form is that of a Box, and `objects`:

| key | value |
|---|---|
| `types` | a list of `{"name": text, "parent": name or null, "features": list of text, or null}`, parents first |
| `objects` | a list of `[name, type]`, in the order of the vector |
| `state` | the import path of the class of states, `MODULE:CLASS` |

This file needs only the standard library, so that it can be imported in the policy's sandbox. There it uses
`relational_structs` if that is installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def object_space_to_plain(space: Any) -> dict[str, Any]:
    """Return what the plain form of a space has besides that of a Box. It is empty for any other space."""
    objects, features = (getattr(space, name, None) for name in ("constant_objects", "type_features"))
    if objects is None or features is None:
        return {}
    kind = space.state_cls
    known = dict.fromkeys(one for type_ in features for one in _lineage(type_))
    return {
        "objects": {
            "types": [
                {
                    "name": one.name,
                    "parent": one.parent.name if one.parent else None,
                    "features": list(features[one]) if one in features else None,
                }
                for one in known
            ],
            "objects": [[thing.name, thing.type.name] for thing in objects],
            "state": f"{kind.__module__}:{kind.__qualname__}",
        }
    }


def build_object_space(plain: Any, build_space: Callable[[Any], Any]) -> Any:
    """Return the space that `plain` describes. Without objects, or without `relational_structs`, it is another space.

    `build_space` builds that one.
    """
    described = plain.get("objects") if isinstance(plain, dict) else None
    if described is None:
        return build_space(plain)
    try:
        with no_drawing():
            structs = importlib.import_module("relational_structs")
            spaces = importlib.import_module("relational_structs.spaces")
    except (ImportError, AttributeError):
        return build_space(plain)
    types: dict[str, Any] = {}
    for one in described["types"]:
        types[one["name"]] = structs.Type(one["name"], types[one["parent"]] if one["parent"] else None)
    features = {types[one["name"]]: one["features"] for one in described["types"] if one["features"] is not None}
    objects = [structs.Object(name, types[kind]) for name, kind in described["objects"]]
    state = StateClass(described["state"], structs.ObjectCentricState)
    return spaces.ObjectCentricBoxSpace(objects, features, state_cls=state, dtype=plain["low"].dtype.type)


@contextmanager
def no_drawing() -> Iterator[None]:
    """Let a module import pyplot for the type of an argument, as `prpl_utils` does, without loading it.

    To load it takes more than a second in each sandbox, whose home has no list of fonts yet.
    """
    names = ("matplotlib", "matplotlib.pyplot")
    stubs = {} if names[0] in sys.modules else {name: ModuleType(name) for name in names}
    for stub in stubs.values():
        stub.Figure = object  # type: ignore[attr-defined]  # a module has what it is given
    sys.modules.update(stubs)
    try:
        yield
    finally:
        for name in stubs:
            del sys.modules[name]


class StateClass:
    """Stands for the class of states, which is imported when a state is made. If it cannot be, `otherwise` is used."""

    def __init__(self, path: str, otherwise: Any) -> None:
        self._path, self._otherwise = path, otherwise

    def from_vec(self, *arguments: Any, **named: Any) -> Any:
        """Make a state from a vector, as the class does."""
        return self._found().from_vec(*arguments, **named)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Make a state."""
        return self._found()(*arguments, **named)

    def _found(self) -> Any:
        module, _, name = self._path.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except Exception:  # a package raises anything without its engine
            return self._otherwise


def _lineage(type_: Any) -> Iterator[Any]:
    """Yield the ancestors of a type, the oldest first, and the type itself."""
    if type_.parent is not None:
        yield from _lineage(type_.parent)
    yield type_
