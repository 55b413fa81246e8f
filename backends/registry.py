"""Finds the adapter of a backend by its name."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

import backends
from backends.base import Backend


@cache
def names() -> tuple[str, ...]:
    """Return the names of the adapters in this package, sorted: its modules and packages that have a `BACKEND`."""
    modules = (module.name for module in pkgutil.iter_modules(backends.__path__))
    return tuple(sorted(name for name in modules if hasattr(import_module(f"backends.{name}"), "BACKEND")))


@cache
def backend(name: str) -> Backend:
    """Return the adapter of that name. Raises `ValueError`, which names the choices."""
    if name not in names():
        raise ValueError(f"no backend {name!r}; choose one of: {', '.join(names())}")
    adapter = import_module(f"backends.{name}").BACKEND
    if not isinstance(adapter, Backend):
        raise TypeError(f"backends/{name}.py: BACKEND is no Backend")
    return adapter
