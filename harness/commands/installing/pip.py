"""Installs the pinned CLIs that come from PyPI, each in its own virtual environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from backends.base import PipPackage
from backends.registry import backend, own_names
from harness.agent.cli import find_cli, virtual_environment
from harness.commands.errors import SetupFailed
from harness.commands.installing.start import require_start
from harness.packaged import cli_requirements

_READABLE = 0o022
"""The umask of installed files. A sealed CLI runs as another user, who must be able to read its files."""


def install(root: Path, tell: Callable[[str], None]) -> None:
    """Install each CLI into its environment below `root`, unless it is there. Raise `SetupFailed`.

    An environment that a killed set-up left incomplete is made again. A second set-up at the same time waits.
    """
    pins = {file.stem: file for file in cli_requirements()}
    for adapter in map(backend, own_names()):
        package = adapter.installation
        if isinstance(package, PipPackage) and package.package in pins:
            own = virtual_environment(package, root)
            complete = own / "complete"
            own.parent.mkdir(exist_ok=True)
            with FileLock(f"{own}.lock"):
                if not complete.exists():
                    tell(f"Installing {package.package} in {own}")
                    _fill(own, pins[package.package])
                    require_start(adapter, find_cli(adapter, root))
                    complete.touch()


def _fill(own: Path, pins: Path) -> None:
    """Make the virtual environment and let pip install the pinned packages in it. Raise `SetupFailed`."""
    shutil.rmtree(own, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", own], capture_output=True, text=True, umask=_READABLE, check=False
    )
    if made.returncode:
        raise SetupFailed(f"`python -m venv {own}` failed: {made.stdout}{made.stderr}".strip())
    ran = subprocess.run(
        [
            *(str(own / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--requirement", str(pins)),
        ],
        umask=_READABLE,
        check=False,
    )
    if ran.returncode:
        raise SetupFailed(f"pip could not install {pins.stem}: see its output above")
