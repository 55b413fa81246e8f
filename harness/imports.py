"""Code that the configuration names by an import path: `mylab.envs:Door` is `Door` in the module `mylab.envs`."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_PATH = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")


_roots: list[str] = []


class PackageMissing(ValueError):
    """A package that the code needs is not installed. The message names it."""


def is_import_path(text: str) -> bool:
    """Return whether a text is meant as an import path: it has a colon."""
    return ":" in text


def import_path(target: str) -> str:
    """Return the import path that a target of Hydra stands for: `mylab.gym:Lake` for `mylab.gym.Lake`."""
    if is_import_path(target):
        return target
    module, _, name = target.rpartition(".")
    return f"{module}:{name}"


def make_importable(root: Path) -> None:
    """Make the modules in a project's root folder importable. Other modules of the same name come first."""
    if str(root) not in sys.path:
        sys.path.append(str(root))
    _roots.append(str(root))


def importable_folders() -> tuple[str, ...]:
    """Return the root folders of projects that were made importable and still are."""
    return tuple(dict.fromkeys(root for root in _roots if root in sys.path))


def check_import_path(text: str) -> None:
    """Check an import path as far as possible without importing anything.

    Raise `PackageMissing` if the module's top-level package is missing, and `ValueError` for any other mistake.
    """
    module, _ = _parts(text)
    if _find(module) is not None:
        return
    top = module.partition(".")[0]
    spec = _find(top)
    if spec is None:
        raise PackageMissing(
            f"there is no module {top}: it is neither in the project's root folder nor installed for {sys.executable}"
        )
    places = spec.submodule_search_locations or [str(spec.origin)]
    raise ValueError(f"there is no module {module}; {top} is {', '.join(places)}")


def source_of(text: str) -> tuple[Path, str] | None:
    """Return the source file of an import path's module, and the name in the module.

    Nothing is imported. Return `None` if the module is missing or has no source. Raise `ValueError` if the text is not
    an import path.
    """
    module, name = _parts(text)
    spec = _find(module)
    file = spec.origin if spec is not None and spec.has_location else None
    return (Path(file), name) if file is not None and file.endswith(".py") else None


def load_object(text: str) -> Any:
    """Return the object at an import path.

    Raise `PackageMissing` if its module imports a package that is missing, and `ValueError` for any other mistake.
    """
    check_import_path(text)
    name, attribute = _parts(text)
    try:
        module = importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and missing.partition(".")[0] != name.partition(".")[0]:
            raise PackageMissing(f"{name} imports {missing}, which is not installed for {sys.executable}") from error
        raise ValueError(f"{name} cannot be imported: {_told(error)}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ValueError(f"{module.__file__} has no {attribute}") from None


def _parts(text: str) -> tuple[str, str]:
    """Return the module and the name in the module."""
    match = _PATH.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an import path: write MODULE:NAME, as in mylab.envs:Door")
    return match[1], match[2]


def _find(module: str) -> ModuleSpec | None:
    """Return the spec of a module, or None. Its parent packages are not imported."""
    name, *parts = module.split(".")
    try:
        spec = find_spec(name)
    except ValueError:  # it is loaded and has no spec, like __main__
        return None
    for part in parts:
        if spec is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations or [])
    return spec


def _told(error: Exception) -> str:
    """Return the file and the line where an import failed, and the error."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: SyntaxError: {error.msg}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}, line {frame.lineno}: {type(error).__name__}: {error}"
