"""Finds the adapter of a backend's agent in Proctor itself, in an installed package, or in the project."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from backends.base import Backend
from backends.options import BackendOptions, backend_options, read_options
from backends.registry import backend, checked
from harness.case import BackendConf
from harness.endings import ConfError
from harness.imports import load_object


class InstanceOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`agent` is the name of the coding agent that runs. It has a session for each of so many `instances`.

    `None` means as many as the held-out episodes of a case. All other options of the backend are the agent's.
    """

    agent: Annotated[str, Meta(min_length=1)] = "claude"
    instances: Annotated[int, Meta(ge=1)] | None = None


def instance_options(conf: BackendConf) -> InstanceOptions:
    """Return the options of a backend of the kind `per_instance`. Raise `ConfError` if one is wrong."""
    own = {name: value for name, value in conf.options.items() if name in InstanceOptions.__struct_fields__}
    try:
        return read_options(InstanceOptions, own)
    except ValueError as error:
        raise ConfError(f"conf/backend/{conf.name}.yaml: backend.{conf.name}.options: {error}") from error


def _agent(conf: BackendConf) -> BackendConf:
    """Return the configuration of the agent that a backend runs: its own, or that of the agent that it names."""
    if conf.kind != "per_instance":
        return conf
    rest = {name: value for name, value in conf.options.items() if name not in InstanceOptions.__struct_fields__}
    return BackendConf(instance_options(conf).agent, adapter=conf.adapter, options=rest)


def adapter_of(conf: BackendConf) -> Backend:
    """Return the adapter of a backend: the object at `conf.adapter`, or else the registered adapter of its name.

    For a backend of the kind `per_instance`, it is the adapter of its agent. Raise `ConfError` if it does not exist, or
    if it is not a `Backend` of that name.
    """
    agent = _agent(conf)
    try:
        found = _adapter(agent.name, agent.adapter)
    except ValueError as error:
        key = f"backend.{conf.name}" if conf.adapter is None else f"backend.{conf.name}.adapter: {conf.adapter}"
        key = key if agent is conf else f"backend.{conf.name}.options.agent"
        raise ConfError(f"conf/backend/{conf.name}.yaml: {key}: {error}") from error
    if found.capabilities.tools is (conf.kind == "direct"):
        offers = "offers tools" if found.capabilities.tools else "offers no tools"
        kind = "agent" if found.capabilities.tools else "direct"
        raise ConfError(f"conf/backend/{conf.name}.yaml: backend.{conf.name}.kind: the adapter {offers}: write {kind}")
    return found


def executable_of(conf: BackendConf) -> Path | None:
    """Return the path that the backend's options give for its CLI, or `None` if they give none.

    Raise `ConfError` if an option is wrong, or if there is no such program.
    """
    key = f"conf/backend/{conf.name}.yaml: backend.{conf.name}.options"
    try:
        given = backend_options(adapter_of(conf).options, _agent(conf).options)[0].executable
    except ValueError as error:
        raise ConfError(f"{key}: {error}") from error
    if given is None:
        return None
    if lacks := _unusable(given):
        raise ConfError(f"{key}.executable: {given} {lacks}")
    return Path(given).expanduser()


def _unusable(executable: str) -> str:
    """Return why this path names no program that can be run. The text is empty if it does."""
    try:
        path = Path(executable).expanduser()
        if not path.is_absolute():
            return "must begin with / or ~/"
        if not path.is_file():
            return "is not a file" if path.exists() else "does not exist"
        return "" if os.access(path, os.X_OK) else "is not executable: run `chmod +x` on it"
    except (OSError, RuntimeError, ValueError) as error:  # no access, no such user's home, no valid path
        return f"cannot be used: {getattr(error, 'strerror', None) or error}"


def own_options(conf: BackendConf) -> dict[str, Any]:
    """Return the options that only the adapter of this backend's agent knows."""
    options = _agent(conf).options
    return {name: value for name, value in options.items() if name not in BackendOptions.__struct_fields__}


@cache
def _adapter(name: str, path: str | None) -> Backend:
    return backend(name) if path is None else checked(load_object(path), name)
