"""From an environment's configuration to the living thing.

An adapter, and the packages it needs, is imported when the first environment of its kind is made.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from importlib.util import find_spec

from harness.case import EnvironmentConf
from harness.environments.base import Environment

_ADAPTERS = {
    "maze": ("harness.environments.maze", "Maze"),
    "gymnasium": ("harness.environments.gymnasium_adapter", "GymnasiumEnvironment"),
    "kinder": ("harness.environments.kinder", "KinderEnvironment"),
}
KINDS = tuple(_ADAPTERS)

_PIP = f"{sys.executable} -m pip install"


def make_environment(conf: EnvironmentConf) -> Environment:
    """The environment that `conf` describes; `arguments` are those of the adapter's class.

    Raises `ValueError` for an unknown kind, wrong arguments, or a package that is missing, and says what to do.
    """
    _check_kind(conf)
    if reason := available(conf):
        raise ValueError(reason)
    module, name = _ADAPTERS[conf.kind]
    make: Callable[..., Environment] = getattr(importlib.import_module(module), name)
    if type(conf.max_steps) is not int or conf.max_steps < 1:
        raise ValueError(f"environment {conf.name}: max_steps must be at least 1, not {conf.max_steps!r}")
    try:
        inspect.signature(make).bind(max_steps=conf.max_steps, **conf.arguments)
    except TypeError as error:
        takes = ", ".join(key for key in inspect.signature(make).parameters if key != "max_steps")
        raise ValueError(f"environment {conf.name}: arguments: {error}; the kind {conf.kind} takes: {takes}") from error
    try:
        return make(max_steps=conf.max_steps, **conf.arguments)
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: {error}") from error


def available(conf: EnvironmentConf) -> str | None:
    """Why this environment cannot run here (a missing package, and what installs it), or none.

    Cheap: nothing is imported. Raises `ValueError` for an unknown kind.
    """
    _check_kind(conf)
    if conf.kind == "kinder" and not all(_installed(package) for package in ("kinder", "tomsgeoms2d")):
        return "KinDER is not installed: run `proctor setup --extra kinder`"
    module, colon, _ = str(conf.arguments.get("id", "")).partition(":")
    if conf.kind == "gymnasium" and colon and not _installed(module.partition(".")[0]):
        return f"the package {module} of environment {conf.name} is not installed: {_PIP} {module}"
    return None


def _check_kind(conf: EnvironmentConf) -> None:
    if conf.kind not in _ADAPTERS:
        raise ValueError(f"environment {conf.name}: there is no kind {conf.kind!r}; choose from: {', '.join(KINDS)}")


def _installed(package: str) -> bool:
    return package.isidentifier() and find_spec(package) is not None
