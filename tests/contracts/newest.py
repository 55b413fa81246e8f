"""Installs the newest version of a CLI beside the pinned one, and raises its pin."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from backends.base import NpmPackage, PipPackage
from harness.agent.cli import Cli, CliMissing, cli_in, lock_of
from harness.commands.errors import SetupFailed
from harness.commands.installing.start import require_start
from harness.commands.installing.watch import run_watched
from harness.packaged import cli_pins
from tests.support.project import ROOT

MANIFESTS = cli_pins()
LATEST = MANIFESTS.with_name("cli-latest")
"""The folder of the newest CLIs, which git ignores. It has a folder for each CLI, named by its executable."""


def install(package: NpmPackage | PipPackage) -> Cli:
    """Install the newest version, and return it. Raise `SetupFailed` with the reason if that cannot be done."""
    if isinstance(package, NpmPackage):
        _npm_install(package)
    else:
        _pip_install(package)
    try:
        found = cli_in(LATEST / package.executable, package)
    except CliMissing:
        raise SetupFailed(f"the newest {package.package} has no program {package.executable}") from None
    require_start(found, package.executable)  # some unpack themselves then
    return found


def _npm_install(npm: NpmPackage) -> None:
    """Install the CLI, and all else that its pins name, such as a Node.js."""
    folder = LATEST / npm.executable
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(lock_of(npm).with_name("package.json").read_text())
    quiet = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    run_watched(["npm", "install", "--prefix", str(folder), *quiet, f"{npm.package}@latest"], "npm install")


def _pip_install(pip: PipPackage) -> None:
    """Install the CLI into a virtual environment with the newest of all that it needs."""
    folder = LATEST / pip.executable
    run_watched([sys.executable, "-m", "venv", "--clear", str(folder)], "python -m venv")
    python = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run_watched([*python, pip.package], "pip install")


def raise_pin(package: NpmPackage | PipPackage, version: str) -> None:
    """Write the new pin of a CLI and its lock. Raise `SystemExit` if npm or make fails."""
    if isinstance(package, PipPackage):
        lock = lock_of(package)
        lock.with_suffix(".in").write_text(f"{package.package}=={version}\n")
        _lock(["make", str(lock.relative_to(ROOT))], ROOT)
        return
    manifest = lock_of(package).with_name("package.json")
    content = json.loads(manifest.read_text())
    content["dependencies"][package.package] = version
    manifest.write_text(json.dumps(content, indent=2) + "\n")
    quiet = "--loglevel=error"
    _lock(["npm", "install", "--package-lock-only", "--omit-lockfile-registry-resolved", quiet], manifest.parent)
    _lock(["npm", "ci", "--dry-run", "--no-audit", "--no-fund", quiet], manifest.parent)


def _lock(command: Sequence[str], folder: Path) -> None:
    if subprocess.run(command, cwd=folder, check=False).returncode:
        sys.exit(f"`{' '.join(command)}` failed in {folder}: see its output above")
