"""Where the source of an environment lies: the installed packages and files that an agent may read, or must not see."""

from __future__ import annotations

import re
import site
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from harness.environment_conf import EnvironmentConf
from harness.environments.factory import PACKAGES, module_of_id, python_for_programs
from harness.environments.interpreters import packages_in
from harness.imports import is_import_path

_OURS = {"proctor"}
_MODULES = {"kinder": "kinder", "kinder_objects": "kinder", "libero": "libero", "metaworld": "metaworld"}
"""The package to read for the environments of a kind, by the name under which it is imported."""
_NEEDED = {"numpy", "gymnasium", "relational-structs"}
"""What observations and spaces are made of. A program needs these packages, whatever its environment comes from."""
_DEBIAN = ("/usr/lib/python3/dist-packages", "/usr/local/lib/python3*/dist-packages")
_SOLUTIONS = ("harness/policies", "harness/conf/scripts")
"""Folders of an installed Proctor with programs that solve environments."""


def hidden_from(conf: EnvironmentConf, python: str | None = None) -> tuple[Path, ...]:
    """Return the paths of the host that a box must not show to an agent, or to its program.

    These are programs of Proctor's that solve environments. If the environment is a black box, they are also its
    package, those that only it needs, and Proctor itself, in every folder of packages that a box may show. `python` is
    the path of another Python than the environment's that runs the program.
    """
    places = tuple(dict.fromkeys([*_places(), *_places_of(python_for_programs(conf)), *_places_of(python)]))
    if conf.visibility == "source":
        return tuple(place / name for place in places for name in _SOLUTIONS if (place / name).is_dir())
    modules = tuple(filter(None, (_module(conf.kind), _top(module_of_id(conf)), _MODULES.get(conf.kind))))
    names = tuple(filter(None, (PACKAGES.get(conf.kind),)))
    found = [path for place in places for path in _of_packages(place, names, modules)]
    found += [path for module in modules for path in _of_module(module)]
    if conf.kind == "gymnasium":  # its spaces stay
        found += [path for place in places for path in (place / "gymnasium/envs").glob("[a-z]*/")]
    return tuple(dict.fromkeys(found))


def packages_of(conf: EnvironmentConf) -> list[str]:
    """Return the top-level packages whose source is that of the environment, besides its adapter."""
    if conf.kind == "gymnasium":
        return [_top(module_of_id(conf)) or "gymnasium"]
    return [_MODULES[conf.kind]] if conf.kind in _MODULES else []


def _module(kind: str) -> str | None:
    """Return the top-level module of an import path, if it is one."""
    return _top(kind) if is_import_path(kind) else None


def _top(module: str | None) -> str | None:
    """Return the top-level module of a module or an import path."""
    return re.split("[.:]", module)[0] if module else None


def _places() -> tuple[Path, ...]:
    """Return the folders of installed packages that a box may show: of this Python, of its base, of the system."""
    own = site.getsitepackages(list(dict.fromkeys([sys.prefix, sys.base_prefix, sys.exec_prefix])))
    system = [str(path) for pattern in _DEBIAN for path in Path("/").glob(pattern.removeprefix("/"))]
    folders = (Path(place).resolve() for place in (*own, *system) if Path(place).is_dir())
    return tuple(dict.fromkeys(folders))


def _places_of(python: str | None) -> Iterator[Path]:
    """Yield the folder of the packages of a Python in a virtual environment, or in an installation of its own."""
    found = packages_in(Path(python).absolute().parents[1]) if python and "/" in python else None
    if found is not None:
        yield found.resolve()


@cache
def _of_packages(place: Path, names: tuple[str, ...], modules: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the paths of Proctor, of the packages of these names or with these modules, and of what only they need.

    Of a folder that another package has, too, these are single files.
    """
    installed = {_plain(path.name.partition("-")[0]): Distribution.at(path) for path in place.glob("*.dist-info")}
    wanted = {_plain(name) for name in names}
    wanted |= {name for name, one in installed.items() if not _tops(one).isdisjoint(modules)}
    brought = _closure(wanted, installed)
    kept = _closure((installed.keys() - brought) | _NEEDED, installed)
    gone = (brought - kept) | wanted - _NEEDED | _OURS
    shared = {top for name in installed.keys() - gone for top in _tops(installed[name])}
    return tuple(
        dict.fromkeys(
            path for name in sorted(gone & installed.keys()) for path in _paths(place, installed[name], shared)
        )
    )


def _paths(place: Path, package: Distribution, shared: set[str]) -> Iterator[Path]:
    """Yield what a package has installed: its folders and files in `place`, and files elsewhere."""
    for file in package.files or ():
        if file.parts[0] in {"..", "__pycache__"} or file.parts[0] in shared:
            yield Path(str(package.locate_file(file))).resolve()
        else:
            yield place / file.parts[0]
            if len(file.parts) == 1 and file.suffix == ".py":
                yield from (place / "__pycache__").glob(f"{file.stem}.*.pyc")


def _tops(package: Distribution) -> set[str]:
    """Return the first parts of the paths of a package: the names of its modules, as folders or files.

    This reads the list of files itself, because it reads those of all packages.
    """
    lines = (package.read_text("RECORD") or "").splitlines()
    first = {line.partition("/")[0].partition(",")[0] for line in lines}
    return first | {name.removesuffix(".py") for name in first}


def _closure(names: Iterable[str], installed: Mapping[str, Distribution]) -> set[str]:
    """Return the packages of these names that are installed, and all that they need."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in installed and name not in found:
            found.add(name)
            left += _needs(installed[name])
    return found


def _needs(package: Distribution) -> Iterator[str]:
    """Yield the names of the packages that a package needs here, without those of its extras."""
    head = (package.read_text("METADATA") or "").partition("\n\n")[0]
    for line in head.splitlines():
        name, _, text = line.partition(": ")
        if name != "Requires-Dist":
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _plain(requirement.name)


def _plain(name: str) -> str:
    """Return the name of a package in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _of_module(name: str) -> Iterator[Path]:
    """Yield the folder or file of a top-level module, and what Python has compiled of the file."""
    spec = PathFinder.find_spec(name)
    if spec is None:
        return
    if spec.submodule_search_locations is not None:
        yield from map(Path, spec.submodule_search_locations)
    elif spec.origin is not None and spec.has_location:
        file = Path(spec.origin)
        yield file
        yield from (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc")
