"""Gymnasium spaces as plain data and back, so that a submission in its sandbox receives real spaces.

| space | plain form |
|---|---|
| Box | `{"type": "box", "low": array, "high": array, "dtype": name}` |
| Discrete | `{"type": "discrete", "n": int, "start": int}` |
| MultiDiscrete | `{"type": "multidiscrete", "nvec": array, "start": array, "dtype": name}` |
| MultiBinary | `{"type": "multibinary", "n": int or list}` |
| Text | `{"type": "text", "min_length": int, "max_length": int, "charset": str}` |
| Dict | `{"type": "dict", "spaces": {key: plain}}` |
| Tuple | `{"type": "tuple", "spaces": [plain]}` |
| Sequence | `{"type": "sequence", "space": plain}` |
| Dict whose members a program gets frozen | `{"type": "dict", "spaces": …, "frozen": true}` |
| of object-centric states | as `object_centric.py` says; that file must be beside this one |
| any other | `{"type": "other", "text": its repr}`; rebuilt as a bare `Space` |

This file needs only NumPy and Gymnasium, so that it can be copied into the policy's sandbox and imported there.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces


def space_to_plain(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return the plain form of a space."""
    for name, form in _FORMS.items():
        if isinstance(space, form.kind) and not getattr(space, "stack", False):
            return {"type": name, **form.write(space)}
    return {"type": "other", "text": f"{space!r:.500}"}


def build_space(plain: Any) -> spaces.Space[Any]:
    """Return the space that `plain` describes. Raise `ValueError` for anything but the output of `space_to_plain`."""
    try:
        if plain["type"] == "objects":
            built: spaces.Space[Any] = _object_centric().build_space(plain)
            return built
        return spaces.Space() if plain["type"] == "other" else _FORMS[plain["type"]].build(plain)
    except (KeyError, TypeError, AttributeError, AssertionError, OverflowError, IndexError) as error:
        raise ValueError(f"not a space: {type(error).__name__}: {error}") from error


def _object_centric() -> Any:
    """Return the module `object_centric`. It is loaded from its file, as this one may be, and only if it is needed."""
    with _beside("object_space").no_drawing():
        return _beside("object_centric")


def _beside(name: str) -> Any:
    found = spec_from_file_location(f"_proctor_{name}", Path(__file__).with_name(f"{name}.py"))
    if found is None or found.loader is None:
        raise ImportError(f"{name}.py is not a Python file")
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


class _Form(NamedTuple):
    kind: type[spaces.Space[Any]]
    write: Callable[[Any], dict[str, Any]]
    build: Callable[[dict[str, Any]], spaces.Space[Any]]


_FORMS = {
    "box": _Form(
        spaces.Box,
        lambda s: {"low": s.low, "high": s.high, "dtype": s.dtype.name},
        lambda p: spaces.Box(p["low"], p["high"], dtype=np.dtype(p["dtype"]).type),
    ),
    "discrete": _Form(
        spaces.Discrete,
        lambda s: {"n": int(s.n), "start": int(s.start)},
        lambda p: spaces.Discrete(p["n"], start=p["start"]),
    ),
    "multidiscrete": _Form(
        spaces.MultiDiscrete,
        lambda s: {"nvec": s.nvec, "start": s.start, "dtype": s.dtype.name},
        lambda p: spaces.MultiDiscrete(p["nvec"], dtype=np.dtype(p["dtype"]).type, start=p["start"]),
    ),
    "multibinary": _Form(
        spaces.MultiBinary,
        lambda s: {"n": s.n if isinstance(s.n, int) else list(s.n)},
        lambda p: spaces.MultiBinary(p["n"]),
    ),
    "text": _Form(
        spaces.Text,
        lambda s: {"min_length": int(s.min_length), "max_length": int(s.max_length), "charset": s.characters},
        lambda p: spaces.Text(p["max_length"], min_length=p["min_length"], charset=p["charset"]),
    ),
    "dict": _Form(
        spaces.Dict,
        lambda s: {"spaces": {str(key): space_to_plain(part) for key, part in s.spaces.items()}},
        lambda p: spaces.Dict([(key, build_space(part)) for key, part in p["spaces"].items()]),
    ),
    "tuple": _Form(
        spaces.Tuple,
        lambda s: {"spaces": [space_to_plain(part) for part in s.spaces]},
        lambda p: spaces.Tuple([build_space(part) for part in p["spaces"]]),
    ),
    "sequence": _Form(
        spaces.Sequence,
        lambda s: {"space": space_to_plain(s.feature_space)},
        lambda p: spaces.Sequence(build_space(p["space"])),
    ),
}
