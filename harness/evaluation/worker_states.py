"""What a program is given in place of an observation's plain data, inside its sandbox.

The observations of a dict space that is `frozen` are `FrozenState`s. All others are given as they are. This file needs
only the standard library, so that it can be imported in the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


class FrozenCell(tuple[Any, ...]):
    """Numbers that belong together, such as a cell of a grid. It equals a list with the same numbers, and is hashable.

    So it is a key of dicts, as a tuple is, and programs that expect a list can still compare.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, tuple(other) if isinstance(other, list) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


class FrozenState(dict[str, Any]):
    """A state that can be read by key and by attribute. It cannot be changed, and is hashable.

    `state["cells"]` is a list of `FrozenCell`s. `state.cells` is a frozenset of tuples.
    """

    def __getattr__(self, name: str) -> Any:
        """Return the hashable form of the value of this name."""
        try:
            value = frozen(self[name])
        except KeyError:
            raise AttributeError(f"the state has no {name}; it has: {', '.join(self)}") from None
        self.__dict__[name] = value  # the next access finds it there
        return value

    def copywith(self, **changes: Any) -> FrozenState:
        """Return this state with other values for some names."""
        return FrozenState({**self, **changes})

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(tuple((name, getattr(self, name)) for name in sorted(self)))

    def _refuse(self, *_arguments: Any, **_named: Any) -> NoReturn:
        raise TypeError("a state cannot be changed: dict(state) is a copy that can be")

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = _refuse
    __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> FrozenState:
        return self

    def __deepcopy__(self, _memo: Any) -> FrozenState:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenState, (dict(self),)


def frozen(value: Any) -> Any:
    """Return the hashable form of a value: a tuple for a cell, and a frozenset for a list."""
    if isinstance(value, list):
        return frozenset(frozen(item) for item in value)
    return tuple(value) if isinstance(value, FrozenCell) else value


def seen_by_program(space: Any) -> Callable[[Any], Any]:
    """Return the function that turns an observation of a space, in plain form, into what a program is given."""
    if not (isinstance(space, dict) and space.get("type") == "dict" and space.get("frozen")):
        return lambda observation: observation
    cells = [name for name, part in space["spaces"].items() if part["type"] == "multidiscrete"]
    lists = [name for name, part in space["spaces"].items() if part["type"] == "sequence"]

    def state(observation: dict[str, Any]) -> FrozenState:
        changed = {name: FrozenCell(observation[name]) for name in cells}
        changed |= {name: [FrozenCell(item) for item in observation[name]] for name in lists}
        return FrozenState({**observation, **changed})

    return state
