"""Installs the extra `worlds`: all of KinDER with PyBullet and MuJoCo, in a virtual environment of its own.

A module of inverse kinematics, which KinDER would compile where it is installed while an environment runs, is compiled
here. It is kept in the cache, so that it is compiled once for each version.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from packaging.requirements import Requirement

from harness.cache import NoHomeError, user_cache
from harness.commands.errors import SetupFailed
from harness.commands.installing import libraries
from harness.commands.installing.watch import watch
from harness.commands.installing.whole import install_whole
from harness.environments.kinder_ids import IKFAST
from harness.environments.worlds import WORLDS, is_complete, packages_in, python_in, worlds_folder
from harness.packaged import requirements

_OTHERS: Final = ("python3.12", "python3.11")
"""Programs that are tried if the Python that runs Proctor does not suit KinDER."""

_READABLE: Final = 0o022
"""The umask of installed files: an environment may run as another user than the one who installed it."""

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


def install(tell: Callable[[str], None]) -> Path:
    """Install the extra in the user's cache, unless it is there. Return its folder. Raise `SetupFailed`.

    The system's libraries are checked each time.
    """
    python = _suitable()
    libraries.require(python.header, tell)
    try:
        root = worlds_folder()
    except NoHomeError as error:
        raise SetupFailed(str(error)) from error

    def fill(partial: Path) -> None:
        tell(f"Installing KinDER with PyBullet and MuJoCo in {root} (1.9 GB, about a minute) for {python.program}")
        _run([python.program, "-m", "venv", str(partial)], "make a virtual environment")
        pip = [str(python_in(partial)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pins = ["--no-deps", "--require-hashes", "--requirement", str(requirements(WORLDS))]
        _run([*pip, *pins], "pip install", quiet=False)
        _add_ikfast(partial, python, tell)

    try:
        install_whole(root, fill, complete=is_complete, tell=tell)
    except OSError as error:
        raise SetupFailed(
            f"cannot install the worlds: {error} (set XDG_CACHE_HOME to install them elsewhere)"
        ) from error
    return root


def _suitable() -> _Python:
    """Return a Python that KinDER supports: the one that runs Proctor, if it does. Raise `SetupFailed`."""
    [kinder] = [pin for pin in _pinned() if pin.name == "kindergarden"]
    for program in (sys.executable, *filter(None, map(shutil.which, _OTHERS))):
        ran = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            told = json.loads(ran.stdout)
            python = _Python(program, told["version"], Path(told["header"]), told["suffix"])
            short = ".".join(python.version.split(".")[:2])
            marked = {"python_version": short, "python_full_version": python.version}
            if kinder.marker is None or kinder.marker.evaluate(marked):
                return python
    raise SetupFailed(
        f"KinDER {str(kinder.specifier).removeprefix('==')} needs Python 3.11 or 3.12 with its module venv. Proctor "
        f"runs on {sys.version.split()[0]}, and neither {' nor '.join(_OTHERS)} on PATH will do: install one of them"
    )


def _pinned() -> Iterator[Requirement]:
    for line in requirements(WORLDS).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            yield Requirement(line.rstrip(" \\"))


def _add_ikfast(environment: Path, python: _Python, tell: Callable[[str], None]) -> None:
    """Put the compiled module of inverse kinematics where KinDER looks for it. Compile it if the cache lacks it."""
    packages = packages_in(environment)
    sources = packages / IKFAST.folder if packages is not None else environment
    version = next((packages or environment).glob("pybullet_helpers-*.dist-info"), None)
    if version is None or not sources.is_dir():
        raise SetupFailed(f"pip has installed the worlds, but {sources} is not there")
    name = f"{IKFAST.module}{python.suffix}"
    kept = user_cache() / WORLDS / re.sub(r"[^\w.-]", "_", f"{version.stem}-{name}")

    def fill(partial: Path) -> None:
        tell("Compiling the inverse kinematics of KinDER's robot arm (half a minute; kept for later installations)")
        partial.mkdir()
        compiler = shutil.which(libraries.COMPILER) or libraries.COMPILER
        archives = ["-l:liblapack.a", "-l:libblas.a", "-l:libgfortran.so.5"]
        options = ["-shared", "-fPIC", "-O1", "-w", f"-I{python.header.parent}", "-o", str(partial / name)]
        _run([compiler, *options, str(sources / f"{IKFAST.module}.cpp"), *archives], "compile")

    install_whole(kept, fill, complete=lambda folder: (folder / name).is_file(), tell=tell)
    shutil.copyfile(kept / name, sources / name)
    code = f"import sys; sys.path.insert(0, {str(sources)!r}); import {IKFAST.module}"
    _run([str(python_in(environment)), "-c", code], f"import {IKFAST.module}")


def _run(command: list[str], what: str, *, quiet: bool = True) -> None:
    """Run a program, and show on a terminal that time passes. Raise `SetupFailed` if it fails."""
    with tempfile.TemporaryFile() as log:
        output = log if quiet else None
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, umask=_READABLE)
        try:
            watch(process, what)
        finally:  # after Ctrl-C; it does nothing to a process that has ended
            process.terminate()
            process.wait()
        log.seek(0)
        said = log.read()
    if process.returncode:
        words = said.decode(errors="replace").strip() or "see its output above"
        raise SetupFailed(f"`{' '.join(command)[:200]}` failed: {words}")
