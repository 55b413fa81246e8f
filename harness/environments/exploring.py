"""Fixed actions for an environment, from the plain form of its action space. They never change with a package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from harness.environments.base import Plain

_GOLDEN = 0.6180339887498949
"""The fractional parts of its multiples spread evenly over 0 to 1."""


class NoAction(Exception):
    """No action can be made for this space, which is of a kind that has no plain form."""


def fixed_action(space: Plain, number: int) -> Plain:
    """Return the action of this number, a member of the action space as far as its plain form tells.

    Other numbers give other actions, spread over the space. Raise `NoAction` for a space without a plain form.
    """
    return _member(space, number)


def _member(space: Plain, number: int) -> Plain:
    make = _MAKERS.get(space.get("type")) if isinstance(space, Mapping) else None
    if make is None:
        raise NoAction(f"there is no action for the space {space!r:.80}")
    return make(space, number)


def _share(number: int) -> float:
    return (number + 1) * _GOLDEN % 1.0


def _shares(number: int, count: int) -> Any:
    """Return a share of 0 to 1 for each component, exact on every machine."""
    return np.array([_share(number * count + index) for index in range(count)], dtype=np.float64)


def _box(space: Mapping[str, Any], number: int) -> Plain:
    dtype, low, high = np.dtype(space["dtype"]), *(np.asarray(space[end], np.float64) for end in ("low", "high"))
    low = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - 1.0, -1.0))
    high = np.where(np.isfinite(high), high, low + 1.0)
    whole = dtype.kind != "f"
    with np.errstate(all="ignore"):  # a range may be wider than the largest number; then the action is refused
        value = low + _shares(number, low.size).reshape(low.shape) * (high - low + whole)
        return (np.floor(value) if whole else value).astype(dtype)


def _discrete(space: Mapping[str, Any], number: int) -> Plain:
    return int(space["start"]) + int(_share(number) * int(space["n"]))


def _multidiscrete(space: Mapping[str, Any], number: int) -> Plain:
    counts, start = np.asarray(space["nvec"]), np.asarray(space["start"])
    chosen = (_shares(number, counts.size).reshape(counts.shape) * counts).astype(np.int64)
    return (start + chosen).astype(space["dtype"])


def _multibinary(space: Mapping[str, Any], number: int) -> Plain:
    shape = space["n"] if isinstance(space["n"], int) else tuple(space["n"])
    shares = _shares(number, int(np.prod(shape))).reshape(shape)
    return (shares * 2).astype(np.int8)


def _text(space: Mapping[str, Any], number: int) -> Plain:
    characters, least = space["charset"], int(space["min_length"])
    length = least + int(_share(number) * (min(int(space["max_length"]), least + 8) - least + 1))
    return "".join(characters[int(share * len(characters))] for share in _shares(number, length))


_MAKERS: dict[Any, Callable[[Mapping[str, Any], int], Plain]] = {
    "box": _box,
    "discrete": _discrete,
    "multidiscrete": _multidiscrete,
    "multibinary": _multibinary,
    "text": _text,
    "dict": lambda space, number: {key: _member(part, number) for key, part in space["spaces"].items()},
    "tuple": lambda space, number: [_member(part, number) for part in space["spaces"]],
    "sequence": lambda space, number: [_member(space["space"], number)],
}
