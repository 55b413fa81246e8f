"""Installs Python packages as a requirements file pins them, in a virtual environment of their own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from harness.commands.installing.watch import run_watched


def install(folder: Path, pins: Path, announce: Callable[[], None], check: Callable[[], None]) -> None:
    """Make the virtual environment `folder` with the packages that `pins` names, unless it is complete.

    An environment that a killed set-up left incomplete is made again. A second set-up at the same time waits. `check`
    looks whether a new environment works, before it counts as complete. Raise `SetupFailed` if pip fails, and what
    `check` raises.
    """
    complete = folder / "complete"
    if complete.exists():  # the cache may belong to another user
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if complete.exists():  # another set-up has made it meanwhile
            return
        announce()
        shutil.rmtree(folder, ignore_errors=True)
        run_watched([sys.executable, "-m", "venv", str(folder)], "python -m venv")
        python = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run_watched([*python, "--require-hashes", "--requirement", str(pins)], "pip install")
        check()
        complete.touch()
