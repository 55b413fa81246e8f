"""Makes a Gymnasium environment from the import path of its class or of a function, as Hydra's `_target_` names it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from harness.imports import import_path, load_object


def make_target(target: str, kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Return what the class or the function `target` makes of `kwargs`, with pictures if it has a `render_mode`.

    Raise `PackageMissing` if a package is missing, and `ValueError` for a target that cannot be called, for arguments
    that it does not take, and for anything else than a Gymnasium environment.
    """
    factory = load_object(import_path(target))
    if not callable(factory):
        raise ValueError(f"_target_: {target} is not a class or a function")
    drawn = {"render_mode": "rgb_array"} if _takes_render_mode(factory) else {}
    try:
        made = factory(**{**drawn, **kwargs})
    except TypeError as error:
        raise ValueError(f"cannot make {target} with {dict(kwargs)}: {error}") from error
    if not isinstance(made, gymnasium.Env):
        raise ValueError(f"_target_: {target} makes a {type(made).__name__}, which is not a gymnasium.Env")
    return made


def _takes_render_mode(factory: Callable[..., Any]) -> bool:
    try:
        return "render_mode" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a class of C has no signature
        return False
