"""Checks a state that an agent made up, before the environment takes and draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from harness.environments.base import Plain

LARGEST = 1e9
"""The largest size of a number with a fraction in a state. Absurd ones can keep drawing code busy for ever."""
_ROUNDING = 1e-6
_SHOWN = 80
"""How many characters of a key a message shows. An agent chooses the keys."""
_LONGEST = 300
"""How many characters of a place in a state a message shows."""

_Place: TypeAlias = "tuple[()] | tuple[_Place, str]"
"""Where a part of a state is: the place that holds it, and the step from there."""


def absurd(state: Plain) -> str | None:
    """Return why no environment can want this state: a number is not finite or too large. Return `None` otherwise."""
    parts: list[tuple[_Place, Plain]] = [((), state)]
    while parts:
        place, part = parts.pop()
        if isinstance(part, dict):
            parts += [((place, f".{key[:_SHOWN]}"), value) for key, value in part.items()]
        elif isinstance(part, list):
            parts += [((place, f"[{index}]"), value) for index, value in enumerate(part)]
        elif isinstance(part, float) and not abs(part) <= LARGEST:
            return f"{_name(place)} must be a number from {-LARGEST:.0e} to {LARGEST:.0e}; got {part}"
    return None


def _name(place: _Place) -> str:
    """Return the name of a place in a state. It is only made for the place that is told, because it may be long."""
    steps = []
    while place:
        place, step = place
        steps.append(step)
    name = "state" + "".join(reversed(steps))
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"


def outside(space: Plain, value: Plain, name: str = "state") -> str | None:
    """Return which part of a value lies outside the bounds of a space in its plain form, or `None`.

    A value of another form than the members of the space is not judged: a state need not look like an observation.
    """
    kind = space.get("type") if isinstance(space, Mapping) else None
    if kind == "dict" and isinstance(value, dict) and set(value) == set(space["spaces"]):
        found = (outside(part, value[key], f"{name}.{key}") for key, part in space["spaces"].items())
    elif kind == "tuple" and isinstance(value, list) and len(value) == len(space["spaces"]):
        found = (outside(part, value[index], f"{name}[{index}]") for index, part in enumerate(space["spaces"]))
    elif kind == "sequence" and isinstance(value, list):
        found = (outside(space["space"], part, f"{name}[{index}]") for index, part in enumerate(value))
    else:
        return _beyond(*_bounds(kind, space), value, name)
    return next((text for text in found if text is not None), None)


def _bounds(kind: str | None, space: Plain) -> tuple[Any, Any]:
    match kind:
        case "box":
            return np.asarray(space["low"], float), np.asarray(space["high"], float)
        case "discrete":
            return np.asarray(space["start"], float), np.asarray(space["start"] + space["n"] - 1, float)
        case "multidiscrete":
            start = np.asarray(space["start"], float)
            return start, start + np.asarray(space["nvec"], float) - 1
    return np.asarray(np.nan), np.asarray(np.nan)


def _beyond(low: Any, high: Any, value: Plain, name: str) -> str | None:
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError):
        return None
    if numbers.shape != low.shape:
        return None
    bad = np.argwhere((numbers < low - _slack(low)) | (numbers > high + _slack(high)))
    if not len(bad):
        return None
    where = tuple(bad[0])
    place = name + "".join(f"[{index}]" for index in where)
    return f"{place} must lie in [{low[where]:g}, {high[where]:g}]; got {numbers[where]:g}"


def _slack(bound: Any) -> Any:
    """Return by how much a number may be beyond a bound that was rounded to float32."""
    return np.where(np.isfinite(bound), _ROUNDING * np.maximum(1.0, np.abs(bound)), 0.0)
