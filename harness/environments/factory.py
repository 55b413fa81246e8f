"""Makes environments from their configuration.

An adapter and its packages are imported in a process of the environment's own, never here.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.environment_conf import EnvironmentConf
from harness.environments.arguments import Described, check_arguments
from harness.environments.constructor import constructor
from harness.environments.keeping import Keeping, not_kept
from harness.imports import PackageMissing, check_import_path, importable_folders, is_import_path
from harness.lazy import LazyModule

if TYPE_CHECKING:
    from harness.environments import hosted, hosts
    from harness.environments.hosted import HostedEnvironment
    from harness.environments.hosts import HostSpec
else:  # they import NumPy
    hosted = LazyModule("harness.environments.hosted")
    hosts = LazyModule("harness.environments.hosts")

_ADAPTERS = {
    "maze": "harness.environments.maze:Maze",
    "gymnasium": "harness.environments.gymnasium_adapter:GymnasiumEnvironment",
    "kinder": "harness.environments.kinder:KinderEnvironment",
}
KINDS = tuple(_ADAPTERS)

PACKAGES = {"gymnasium": "gymnasium", "kinder": "kindergarden"}
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
        signature = constructor(adapter_path(conf))
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: kind: {error}") from error
    if signature is not None:
        check_arguments(described(conf), signature)


def _check_kind(conf: EnvironmentConf) -> None:
    if not is_import_path(conf.kind):
        if conf.kind not in _ADAPTERS:
            raise ValueError(
                f"environment {conf.name}: there is no kind {conf.kind!r}; choose from: {', '.join(KINDS)}, or write "
                f"the import path of an adapter class, such as mylab.envs:Door"
            )
        return
    if conf.interpreter is not None:  # its packages are others
        return
    try:
        check_import_path(conf.kind)
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: kind: {error}") from error


def begin(conf: EnvironmentConf, keeping: Keeping = not_kept) -> None:
    """Start the environment's host, so that it imports the adapter while this process does something else.

    A mistake in the configuration is left to `available`, and so is a missing package.
    """
    with suppress(ValueError):
        _check_kind(conf)
        hosts.begin(_host(conf, keeping), conf.start_s, conf.memory_mb << 20)


def available(conf: EnvironmentConf, keeping: Keeping = not_kept) -> str | None:
    """Return why this environment cannot run here (a missing package, and how to install it), or None.

    This is cheap for the kinds of Proctor's own, with Proctor's own interpreter. Otherwise, the environment's host
    starts and imports the adapter; `keeping` keeps it within bounds. Raise `ValueError` if the kind does not exist, and
    `EnvironmentFailed` if the import does not end.
    """
    _check_kind(conf)
    if conf.interpreter is not None or is_import_path(conf.kind):
        try:
            hosts.host_of(_host(conf, keeping), conf.start_s, conf.memory_mb << 20)
        except PackageMissing as error:
            return f"environment {conf.name}: kind {conf.kind}: {error}"
        except ValueError as error:
            raise ValueError(f"environment {conf.name}: kind {conf.kind}: {error}") from error
        return None
    if conf.kind == "kinder" and not all(_installed(package) for package in ("kinder", "tomsgeoms2d")):
        return "KinDER is not installed: run `proctor setup --extra kinder`"
    module = module_of_id(conf)
    if module is not None and not _installed(module.partition(".")[0]):
        return (
            f"environment {conf.name}: there is no module {module}: it is neither in the project's root folder nor "
            f"installed; to install it: {_PIP} {module}"
        )
    return None


def make_environment(conf: EnvironmentConf, keeping: Keeping = not_kept) -> HostedEnvironment:
    """Return the environment that `conf` describes, in a process of its own. `arguments` go to the adapter's class.

    `keeping` keeps the process within bounds.

    Raise `ValueError` for an unknown kind, a class that is not an adapter, wrong arguments, or a missing package, and
    say what to do. Raise `EnvironmentFailed` if the process does not start.
    """
    if reason := available(conf, keeping):
        raise ValueError(reason)
    return hosted.HostedEnvironment(conf, described(conf), _host(conf, keeping))


def version_of(conf: EnvironmentConf, proctor: str | None) -> str | None:
    """Return the package that an environment comes from, and its version, or None for code outside a package.

    `proctor` is the version of Proctor. Environments of the other kinds come from Proctor.
    """
    if is_import_path(conf.kind):
        module = re.split("[.:]", conf.kind)[0]
        package = next(iter(packages_distributions().get(module, [])), None)
    else:
        package = PACKAGES.get(conf.kind)
        if package is None:
            return f"proctor {proctor}"
    return f"{package} {version(package)}" if package else None


def described(conf: EnvironmentConf) -> Described:
    """Return what an environment is made from."""
    return Described(conf.name, conf.kind, conf.arguments, conf.max_steps, conf.solved_when)


def adapter_path(conf: EnvironmentConf) -> str:
    """Return the import path of the adapter of an environment."""
    return _ADAPTERS.get(conf.kind, conf.kind)


def module_of_id(conf: EnvironmentConf) -> str | None:
    """Return the module that Gymnasium imports for this id, if any."""
    module, colon, _ = str(conf.arguments.get("id", "")).partition(":")
    return module if conf.kind == "gymnasium" and colon else None


def _host(conf: EnvironmentConf, keeping: Keeping) -> HostSpec:
    """Return what the environment's host is started with.

    Proctor's own interpreter finds modules where this process finds them. Another one finds its own, and those in the
    project's root folder.
    """
    own = conf.interpreter is None
    path = tuple(str(Path(place).absolute()) for place in sys.path) if own else importable_folders()
    return hosts.HostSpec(conf.interpreter or sys.executable, path, adapter_path(conf), module_of_id(conf), keeping)


def _installed(package: str) -> bool:
    return package.isidentifier() and find_spec(package) is not None
