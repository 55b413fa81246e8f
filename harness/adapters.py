"""Finds the adapter of a backend in Proctor itself, in an installed package, or in the project."""

from __future__ import annotations

from functools import cache

from backends.base import Backend
from backends.registry import backend, checked
from harness.case import BackendConf
from harness.endings import ConfError
from harness.imports import load_object


def adapter_of(conf: BackendConf) -> Backend:
    """Return the adapter of a backend: the object at `conf.adapter`, or else the registered adapter of its name.

    Raise `ConfError` if it does not exist, or if it is not a `Backend` of that name.
    """
    try:
        return _adapter(conf.name, conf.adapter)
    except ValueError as error:
        key = f"backend.{conf.name}" if conf.adapter is None else f"backend.{conf.name}.adapter: {conf.adapter}"
        raise ConfError(f"conf/backend/{conf.name}.yaml: {key}: {error}") from error


@cache
def _adapter(name: str, path: str | None) -> Backend:
    return backend(name) if path is None else checked(load_object(path), name)
