"""Finds the adapter of a backend by its name, in this package or at an entry point of another package."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import backends
from backends.base import Backend

GROUP = "proctor.backends"
"""The group of entry points through which other packages add backends. An entry point has the backend's name."""


@cache
def names() -> tuple[str, ...]:
    """Return the names of all coding agents, sorted: those in this package, and those of entry points."""
    return tuple(sorted({*own_names(), *_others()}))


@cache
def own_names() -> tuple[str, ...]:
    """Return the names of the coding agents in this package, sorted. A baseline, which offers no tools, is none."""
    return tuple(sorted(name for name, adapter in _own().items() if adapter.capabilities.tools))


@cache
def backend(name: str) -> Backend:
    """Return the adapter of that name. An adapter of this package hides an entry point of the same name.

    Raise `ValueError` if the adapter does not exist or cannot be loaded.
    """
    if name in _own():
        return checked(_own()[name], name)
    point = _others().get(name)
    if point is None:
        raise ValueError(f"there is no backend {name!r}; choose one of: {', '.join(names())}")
    source = f"the entry point {point.name} = {point.value} of {point.dist.name if point.dist else 'a package'}"
    try:
        found = point.load()
    except Exception as error:  # importing that package may raise anything
        raise ValueError(f"{source} cannot be loaded: {type(error).__name__}: {error}") from error
    try:
        return checked(found, name)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def checked(found: object, name: str) -> Backend:
    """Return `found` if it is the adapter of the backend `name`. Raise `ValueError` if it is not."""
    if not isinstance(found, Backend):
        what = f"the class {found.__name__}" if isinstance(found, type) else f"an object of type {type(found).__name__}"
        raise ValueError(f"it must be an instance of a subclass of backends.base.Backend, not {what}")
    lacking = [part for part in Backend.__annotations__ if not hasattr(found, part)]
    if lacking:
        raise ValueError(f"{type(found).__name__} lacks {', '.join(lacking)} (see backends.base.Backend)")
    if found.name != name:
        raise ValueError(f"the name of {type(found).__name__} must be {name!r}, not {found.name!r}")
    return found


@cache
def _own() -> dict[str, Backend]:
    """Return the adapters in this package by name: the `BACKEND` of each module or package that has one."""
    modules = {
        module.name: import_module(f"backends.{module.name}") for module in pkgutil.iter_modules(backends.__path__)
    }
    return {name: module.BACKEND for name, module in modules.items() if hasattr(module, "BACKEND")}


@cache
def _others() -> dict[str, EntryPoint]:
    """Return the entry points of installed packages, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}
