"""Finds a backend by name: the name is that of its module, imported when first asked for."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

import backends
from backends.base import Backend

_NOT_BACKENDS = {"base", "errors", "events", "experiment", "quoting", "registry", "resets", "session", "wire"}


def names() -> tuple[str, ...]:
    """The names of all backends, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(backends.__path__) if m.name not in _NOT_BACKENDS))


@cache
def backend(name: str) -> Backend:
    """The adapter of that name; `ValueError` names the choices."""
    if name not in names():
        raise ValueError(f"no backend {name!r}; choose one of: {', '.join(names())}")
    adapter = import_module(f"backends.{name}").BACKEND
    if not isinstance(adapter, Backend):
        raise TypeError(f"backends/{name}.py: BACKEND is no Backend")
    return adapter
