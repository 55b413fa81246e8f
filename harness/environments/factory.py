"""Makes environments from their configuration.

An adapter and its packages are imported when the first environment of its kind is made.
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from harness.case import EnvironmentConf
from harness.environments.constructor import constructor
from harness.environments.solved_when import parse_rule
from harness.imports import PackageMissing, check_import_path, is_import_path, load_object
from harness.lazy import LazyModule

if TYPE_CHECKING:
    from harness.environments import base, judged, rendering
    from harness.environments.base import Environment
else:  # they import NumPy
    base = LazyModule("harness.environments.base")
    judged = LazyModule("harness.environments.judged")
    rendering = LazyModule("harness.environments.rendering")

_ADAPTERS = {
    "maze": "harness.environments.maze:Maze",
    "gymnasium": "harness.environments.gymnasium_adapter:GymnasiumEnvironment",
    "kinder": "harness.environments.kinder:KinderEnvironment",
}
KINDS = tuple(_ADAPTERS)

_PACKAGES = {"gymnasium": "gymnasium", "kinder": "kindergarden"}
"""The package that the environments of a kind come from, if it is not Proctor itself."""

_PIP = f"{sys.executable} -m pip install"


def names_code(conf: EnvironmentConf) -> bool:
    """Return whether the environment's configuration names a module, which may belong to the project."""
    return is_import_path(conf.kind) or is_import_path(str(conf.arguments.get("id", "")))


def check_environment(conf: EnvironmentConf) -> None:
    """Raise `ValueError` if the environment's kind does not exist, or if it does not take these arguments.

    Nothing is imported, so the constructor is checked only as far as the source of the kind tells it, and a kind of
    Proctor's own with a missing package passes. Use `available` to check for the package.
    """
    _check_kind(conf)
    try:
        signature = constructor(_path(conf))
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: kind: {error}") from error
    if signature is not None:
        _check_arguments(conf, signature)


def _check_kind(conf: EnvironmentConf) -> None:
    if not is_import_path(conf.kind):
        if conf.kind not in _ADAPTERS:
            raise ValueError(
                f"environment {conf.name}: there is no kind {conf.kind!r}; choose from: {', '.join(KINDS)}, or write "
                f"the import path of an adapter class, such as mylab.envs:Door"
            )
        return
    try:
        check_import_path(conf.kind)
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: kind: {error}") from error


def _check_arguments(conf: EnvironmentConf, signature: inspect.Signature) -> None:
    """Raise `ValueError` if an adapter with this constructor does not take the arguments."""
    takes = [key for key in signature.parameters if key != "max_steps"]
    where, accepted = (
        f"environment {conf.name}: arguments",
        f"the kind {conf.kind} takes: {', '.join(takes) or 'nothing'}",
    )
    if not any(p.name == "max_steps" or p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        raise ValueError(
            f"environment {conf.name}: kind {conf.kind}: this class is not an adapter: it does not take max_steps"
        )
    if "max_steps" in conf.arguments:
        raise ValueError(f"{where}.max_steps: write max_steps beside `arguments`, not inside")
    if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        for key in conf.arguments:
            if key not in takes:
                raise ValueError(f"{where}.{key}: there is no such argument; {accepted}")
    try:
        signature.bind(max_steps=conf.max_steps, **conf.arguments)
    except TypeError as error:
        raise ValueError(f"{where}: {error}; {accepted}") from error


def available(conf: EnvironmentConf) -> str | None:
    """Return why this environment cannot run here (a missing package, and how to install it), or None.

    This is cheap: it imports the adapter only if the kind is an import path. Raise `ValueError` if the kind does not
    exist.
    """
    _check_kind(conf)
    if is_import_path(conf.kind):
        try:
            _adapter(conf)
        except PackageMissing as error:
            return f"environment {conf.name}: kind {conf.kind}: {error}"
    if conf.kind == "kinder" and not all(_installed(package) for package in ("kinder", "tomsgeoms2d")):
        return "KinDER is not installed: run `proctor setup --extra kinder`"
    module, colon, _ = str(conf.arguments.get("id", "")).partition(":")
    if conf.kind == "gymnasium" and colon and not _installed(module.partition(".")[0]):
        return (
            f"environment {conf.name}: there is no module {module}: it is neither in the project's root folder nor "
            f"installed; to install it: {_PIP} {module}"
        )
    return None


def make_environment(conf: EnvironmentConf) -> Environment:
    """Return the environment that `conf` describes. Its `arguments` go to the adapter's class.

    Raise `ValueError` for an unknown kind, a class that is not an adapter, wrong arguments, or a missing package, and
    say what to do.
    """
    rendering.choose_renderer()
    if reason := available(conf):
        raise ValueError(reason)
    adapter = _adapter(conf)
    _check_arguments(conf, inspect.signature(adapter))
    if type(conf.max_steps) is not int or conf.max_steps < 1:
        raise ValueError(f"environment {conf.name}: max_steps must be at least 1, not {conf.max_steps!r}")
    try:
        environment: Environment = adapter(max_steps=conf.max_steps, **conf.arguments)
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: {error}") from error
    if not hasattr(environment, "max_steps"):
        raise ValueError(f"environment {conf.name}: {adapter.__name__} must keep max_steps as an attribute")
    rule = parse_rule(conf.solved_when)
    return environment if rule is None else judged.JudgedEnvironment(environment, rule)


def version_of(conf: EnvironmentConf, proctor: str | None) -> str | None:
    """Return the package that an environment comes from, and its version, or None for code outside a package.

    `proctor` is the version of Proctor. Environments of the other kinds come from Proctor.
    """
    if is_import_path(conf.kind):
        module = re.split("[.:]", conf.kind)[0]
        package = next(iter(packages_distributions().get(module, [])), None)
    else:
        package = _PACKAGES.get(conf.kind)
        if package is None:
            return f"proctor {proctor}"
    return f"{package} {version(package)}" if package else None


def _path(conf: EnvironmentConf) -> str:
    return _ADAPTERS.get(conf.kind, conf.kind)


def _adapter(conf: EnvironmentConf) -> type[Any]:
    """Return the adapter class of a kind. Raise `PackageMissing`, or `ValueError` if it is not an adapter class."""
    where = f"environment {conf.name}: kind {conf.kind}"
    try:
        found = load_object(_path(conf))
    except PackageMissing:
        raise
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not isinstance(found, type):
        raise ValueError(f"{where}: an adapter is a class, and this is of type {type(found).__name__}")
    methods = [name for name, value in vars(base.Environment).items() if callable(value) and not name.startswith("_")]
    lacking = [name for name in methods if not callable(getattr(found, name, None))]
    if lacking:
        raise ValueError(f"{where}: this class is not an adapter: it lacks the methods {', '.join(lacking)}")
    return found


def _installed(package: str) -> bool:
    return package.isidentifier() and find_spec(package) is not None
