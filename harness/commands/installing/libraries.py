"""The libraries of the system that simulators need. If one is missing, root gets it through apt."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import Final

from harness.commands.errors import SetupFailed
from harness.commands.installing.apt import apt_install

SHARED: Final = {
    "libosmesa6": "OSMesa",  # MuJoCo draws with it, without a screen and without a GPU
    "libegl1": "EGL",
    "libgl1": "GL",
    "libglib2.0-0": "glib-2.0",
    "libxcb1": "xcb",
    "libgfortran5": "gfortran",
}
"""Debian packages, and the shared library that each brings."""

_STATIC: Final = {"liblapack-dev": "liblapack.a", "libblas-dev": "libblas.a"}
"""Debian packages, and the archive that each brings for the compiler."""

COMPILER: Final = "c++"


def require(header: Path | None, tell: Callable[[str], None]) -> None:
    """Check that the libraries are there. Install what is missing by apt if the user is root. Raise `SetupFailed`.

    For a `header`, the file `Python.h` of the Python that a module is compiled for, check for a compiler too.
    """
    lacking = list(_lacking(header))
    if not lacking:
        return
    names = " ".join(lacking)
    found = f"libraries of the system are missing ({names})"
    apt = shutil.which("apt-get")
    if apt is None:
        raise SetupFailed(f"{found}: install them with your system's package manager (these are Debian's names)")
    if os.geteuid() != 0:
        raise SetupFailed(f"{found}: run `sudo apt-get install {names}`")
    tell(f"Installing through apt: {names}")
    apt_install(apt, lacking, found)
    if still := list(_lacking(header)):
        raise SetupFailed(f"apt has installed {names}, but this is still missing: {' '.join(still)}")


def _lacking(header: Path | None) -> Iterator[str]:
    """Yield the Debian packages that are missing."""
    yield from (package for package, library in SHARED.items() if find_library(library) is None)
    if header is None:
        return
    compiler = shutil.which(COMPILER)
    if compiler is None:
        yield "g++"
    yield from (package for package, archive in _STATIC.items() if compiler is None or not _has(compiler, archive))
    if not header.exists():
        yield f"lib{header.parent.name}-dev"


def _has(compiler: str, archive: str) -> bool:
    """Return whether the compiler finds an archive."""
    told = subprocess.run([compiler, f"-print-file-name={archive}"], capture_output=True, text=True, check=False)
    return Path(told.stdout.strip()).is_absolute()
