"""Finds the host paths that a box must show so that an interpreter or a CLI runs in it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.sandbox.base import Interpreter


def host_python() -> Interpreter:
    """Return the Python that runs the harness, for kinds whose boxes show host paths at the same path."""
    return Interpreter(sys.executable, interpreter_paths())


def python_at(executable: Path) -> Interpreter:
    """Return another Python than the harness's, at this path, for kinds whose boxes show host paths."""
    installed = _places(executable.resolve().parent.parent, *_links(executable))
    return Interpreter(str(executable), _environment(executable) or installed)


def interpreter_paths() -> tuple[Path, ...]:
    """Return the paths that `sys.executable` needs to run with its packages: its prefix and its installation.

    A virtual environment's `python` is a chain of links into an installation, which may itself be behind links (pyenv,
    uv). The result includes these links.
    """
    prefix = Path(sys.prefix)
    links = (link for link in _links(Path(sys.executable)) if not link.is_relative_to(prefix))
    return _places(prefix, prefix.resolve(), *base_paths(), *links)


def base_paths() -> tuple[Path, ...]:
    """Return the paths that `base_interpreter()` needs to run: its installation, as written and resolved."""
    bases = (Path(sys.base_prefix), Path(sys.base_exec_prefix))
    return _places(*bases, *(base.resolve() for base in bases), base_interpreter())


def base_interpreter() -> Path:
    """Return the installed interpreter itself, without any virtual environment."""
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined]  # CPython's own, not in typeshed


def _places(*places: Path) -> tuple[Path, ...]:
    return tuple(place for place in dict.fromkeys(places) if place != Path("/"))


def program_paths(executable: Path) -> tuple[Path, ...]:
    """Return the paths that a CLI needs: node, and its `node_modules`, virtual environment, or its links' targets."""
    found: list[Path] = []
    for program in (executable, shutil.which("node")):
        if program is not None:
            for link in _links(Path(program)):
                packages = [parent for parent in link.parents if parent.name == "node_modules"]
                found += [packages[-1]] if packages else [*_environment(link), link]
    return tuple(dict.fromkeys(found))


def _environment(script: Path) -> tuple[Path, ...]:
    """Return the virtual environment of a script, and the installation of its interpreter."""
    prefix = script.parent.parent
    if not (prefix / "pyvenv.cfg").is_file():
        return ()
    python = prefix / "bin" / "python"
    links = (link for link in _links(python) if not link.is_relative_to(prefix))
    return _places(prefix, python.resolve().parent.parent, *links)


def _links(path: Path) -> Iterator[Path]:
    """Yield the path, each link that it leads to as written, and the resolved file at the end."""
    path = path.absolute()
    yield path
    seen = {path}
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / path.readlink()))
        if path in seen:
            return
        seen.add(path)
        yield path
    yield path.resolve()
