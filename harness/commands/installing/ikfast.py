"""Compiles a module of inverse kinematics, which KinDER would compile where it is installed while an environment runs.

It is kept in the cache, so that it is compiled once for each version.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.cache import user_cache
from harness.commands.errors import SetupFailed
from harness.commands.installing import libraries
from harness.commands.installing.watch import run_watched
from harness.commands.installing.whole import install_whole
from harness.environments.interpreters import WORLDS, packages_in, python_in
from harness.environments.kinder_ids import IKFAST


def add_ikfast(environment: Path, header: Path, suffix: str, tell: Callable[[str], None]) -> None:
    """Put the compiled module where KinDER looks for it. Compile it if the cache lacks it. Raise `SetupFailed`.

    `header` is the file `Python.h` of the virtual environment's Python, and `suffix` how its modules' names end.
    """
    packages = packages_in(environment)
    sources = packages / IKFAST.folder if packages is not None else environment
    version = next((packages or environment).glob("pybullet_helpers-*.dist-info"), None)
    if version is None or not sources.is_dir():
        raise SetupFailed(f"pip has installed the worlds, but {sources} is not there")
    name = f"{IKFAST.module}{suffix}"
    kept = user_cache() / WORLDS / re.sub(r"[^\w.-]", "_", f"{version.stem}-{name}")

    def fill(partial: Path) -> None:
        tell("Compiling the inverse kinematics of KinDER's robot arm (half a minute; kept for later installations)")
        partial.mkdir()
        compiler = shutil.which(libraries.COMPILER) or libraries.COMPILER
        archives = ["-l:liblapack.a", "-l:libblas.a", "-l:libgfortran.so.5"]
        options = ["-shared", "-fPIC", "-O1", "-w", f"-I{header.parent}", "-o", str(partial / name)]
        run_watched([compiler, *options, str(sources / f"{IKFAST.module}.cpp"), *archives], "compile")

    install_whole(kept, fill, complete=lambda folder: (folder / name).is_file(), tell=tell)
    shutil.copyfile(kept / name, sources / name)
    code = f"import sys; sys.path.insert(0, {str(sources)!r}); import {IKFAST.module}"
    run_watched([str(python_in(environment)), "-c", code], f"import {IKFAST.module}")
