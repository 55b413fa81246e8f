"""Installs an extra that has a virtual environment of its own in the user's cache: pinned packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from packaging.requirements import Requirement

from harness.cache import NoHomeError
from harness.commands.errors import SetupFailed
from harness.commands.installing import libraries
from harness.commands.installing.ikfast import add_ikfast
from harness.commands.installing.watch import run_watched
from harness.commands.installing.whole import install_whole
from harness.environments.interpreters import INTERPRETERS, WORLDS, folder_of, is_complete, python_in
from harness.packaged import requirements

_OTHERS: Final = ("python3.12", "python3.11")
"""Programs that are tried if the Python that runs Proctor does not suit an extra."""

_ASK: Final = """
import json, platform, sys, sysconfig
import venv, ensurepip
print(json.dumps({"version": platform.python_version(), "header": sysconfig.get_path("include") + "/Python.h",
                  "suffix": sysconfig.get_config_var("EXT_SUFFIX")}))
"""


class _Python(Struct, frozen=True):
    """A Python: its program, its version, its file `Python.h`, and how the names of its compiled modules end."""

    program: str
    version: str
    header: Path
    suffix: str


def install(extra: str, tell: Callable[[str], None]) -> Path:
    """Install an extra in the user's cache, unless it is there. Return its folder. Raise `SetupFailed`.

    The system's libraries are checked each time.
    """
    python = _suitable(extra)
    libraries.require(python.header if extra == WORLDS else None, tell)
    try:
        root = folder_of(extra)
    except NoHomeError as error:
        raise SetupFailed(str(error)) from error

    def fill(partial: Path) -> None:
        tell(f"Installing {INTERPRETERS[extra].text} in {root} for {python.program}: about a minute")
        run_watched([python.program, "-m", "venv", str(partial)], "make a virtual environment")
        pip = [str(python_in(partial)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pins = ["--no-deps", "--require-hashes", "--requirement", str(requirements(extra))]
        run_watched([*pip, *pins], "pip install", quiet=False)
        if extra == WORLDS:
            add_ikfast(partial, python.header, python.suffix, tell)

    try:
        install_whole(root, fill, complete=is_complete, tell=tell)
    except OSError as error:
        raise SetupFailed(
            f"cannot install the extra {extra}: {error} (set XDG_CACHE_HOME to install it elsewhere)"
        ) from error
    return root


def _suitable(extra: str) -> _Python:
    """Return a Python that an extra supports: the one that runs Proctor, if it does. Raise `SetupFailed`."""
    [pin] = [pin for pin in _pinned(extra) if pin.name == INTERPRETERS[extra].package]
    for program in (sys.executable, *filter(None, map(shutil.which, _OTHERS))):
        ran = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            told = json.loads(ran.stdout)
            python = _Python(program, told["version"], Path(told["header"]), told["suffix"])
            short = ".".join(python.version.split(".")[:2])
            marked = {"python_version": short, "python_full_version": python.version}
            if pin.marker is None or pin.marker.evaluate(marked):
                return python
    raise SetupFailed(
        f"{pin.name} {str(pin.specifier).removeprefix('==')} needs Python 3.11 or 3.12 with its module venv. Proctor "
        f"runs on {sys.version.split()[0]}, and neither {' nor '.join(_OTHERS)} on PATH will do: install one of them"
    )


def _pinned(extra: str) -> Iterator[Requirement]:
    for line in requirements(extra).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            yield Requirement(line.rstrip(" \\"))
