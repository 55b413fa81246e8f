"""Checks what a submission returned against a Gymnasium space, and casts it to that space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from harness.environments.base import InvalidAction, Plain


def cast(space: spaces.Space[Any], plain: Plain, name: str = "action") -> Any:
    """Return the member of `space` that `plain` stands for.

    Numbers are cast to the dtype of the space, for instance from float64 to float32. Lists can stand for arrays and
    tuples. Raise `InvalidAction` if the type, the shape or a bound is wrong, or if a number is not finite. In the
    message, `name` says which part of the action is meant.
    """
    return _caster(space)(space, plain, name)


def check_supported(space: spaces.Space[Any]) -> None:
    """Raise `ValueError` if `cast` cannot make actions of this space."""
    _caster(space)
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else getattr(space, "spaces", ())
    for part in parts:
        check_supported(part)


def _caster(space: spaces.Space[Any]) -> Callable[[Any, Plain, str], Any]:
    for kind, caster in _CASTERS.items():
        if isinstance(space, kind):
            return caster
    known = ", ".join(kind.__name__ for kind in _CASTERS)
    raise ValueError(f"actions of the space {space!r:.200} are not supported; supported: {known}")


def _discrete(space: spaces.Discrete[Any], plain: Plain, name: str) -> np.integer[Any]:
    value = _numbers(plain, (), name)
    _check_bounds(value, np.array(space.start), np.array(space.start + space.n - 1), whole=True, name=name)
    return np.int64(value)


def _box(space: spaces.Box, plain: Plain, name: str) -> NDArray[Any]:
    values = _numbers(plain, space.shape, name)
    whole = space.dtype.kind != "f"
    if not whole:
        # Compare after the cast. By rounding alone, pi/16 in float64 is beyond the same bound in float32.
        with np.errstate(over="ignore"):
            values = values.astype(space.dtype)
    _check_bounds(values, space.low, space.high, whole=whole, name=name)
    return values.astype(space.dtype)


def _multi_discrete(space: spaces.MultiDiscrete[Any], plain: Plain, name: str) -> NDArray[Any]:
    values = _numbers(plain, space.shape, name)
    _check_bounds(values, space.start, space.start + space.nvec - 1, whole=True, name=name)
    return values.astype(space.dtype)


def _multi_binary(space: spaces.MultiBinary, plain: Plain, name: str) -> NDArray[Any]:
    values = _numbers(plain, space.shape, name, kinds="iub")
    _check_bounds(values, np.zeros(space.shape), np.ones(space.shape), whole=True, name=name)
    return values.astype(space.dtype)


def _dict(space: spaces.Dict, plain: Plain, name: str) -> dict[str, Any]:
    if not isinstance(plain, dict) or set(plain) != set(space.spaces):
        raise InvalidAction(f"{name} must be a dict with the keys {', '.join(space.spaces)}; got {plain!r:.80}")
    return {key: cast(part, plain[key], f"{name}.{key}") for key, part in space.spaces.items()}


def _tuple(space: spaces.Tuple[Any], plain: Plain, name: str) -> tuple[Any, ...]:
    if not isinstance(plain, list | tuple) or len(plain) != len(space.spaces):
        raise InvalidAction(f"{name} must be a list of {len(space.spaces)} parts; got {plain!r:.80}")
    return tuple(cast(part, plain[i], f"{name}[{i}]") for i, part in enumerate(space.spaces))


_CASTERS: dict[type[Any], Callable[[Any, Plain, str], Any]] = {
    spaces.Discrete: _discrete,
    spaces.Box: _box,
    spaces.MultiDiscrete: _multi_discrete,
    spaces.MultiBinary: _multi_binary,
    spaces.Dict: _dict,
    spaces.Tuple: _tuple,
}


def _numbers(plain: Plain, shape: tuple[int, ...], name: str, kinds: str = "iuf") -> NDArray[Any]:
    """Return `plain` as an array of this shape. Its numbers are finite and of these kinds (NumPy's letters)."""
    try:
        values = np.asarray(plain)
    except (ValueError, TypeError, OverflowError):
        values = np.empty(0, object)
    if values.dtype.kind not in kinds:
        wanted = f"an array of numbers of shape {shape}" if shape else "a number"
        raise InvalidAction(f"{name} must be {wanted}; got {plain!r:.80}")
    if values.shape != shape:
        raise InvalidAction(f"{name} must have shape {shape}; got shape {values.shape}")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise InvalidAction(f"{_component(name, bad[0])} must be finite; got {values[tuple(bad[0])]}")
    return values


def _check_bounds(values: NDArray[Any], low: NDArray[Any], high: NDArray[Any], *, whole: bool, name: str) -> None:
    if whole and values.dtype.kind == "f":
        raise InvalidAction(f"{name} must be made of integers; got {values!r:.80}")
    bad = np.argwhere((values < low) | (values > high))
    if len(bad):
        where = tuple(bad[0])
        raise InvalidAction(
            f"{_component(name, bad[0])} must lie in [{low[where]}, {high[where]}]; got {values[where]}"
        )


def _component(name: str, index: NDArray[Any]) -> str:
    return name + "".join(f"[{i}]" for i in index)
