"""Installs the newest version of a CLI beside the pinned one, and raises its pin."""

from __future__ import annotations

import json
import subprocess
import sys

from backends.base import NpmPackage, PipPackage
from harness.agent.cli import Cli, CliMissing, cli_in, lock_of
from harness.commands.errors import SetupFailed
from harness.commands.installing.start import require_start
from harness.commands.installing.watch import run_watched
from harness.packaged import cli_pins

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


def raise_pin(npm: NpmPackage, version: str) -> None:
    """Write the new pin of a CLI and its lock. Raise `SystemExit` if npm fails."""
    manifest = lock_of(npm).with_name("package.json")
    content = json.loads(manifest.read_text())
    content["dependencies"][npm.package] = version
    manifest.write_text(json.dumps(content, indent=2) + "\n")
    for command in (
        ("install", "--package-lock-only", "--omit-lockfile-registry-resolved", "--loglevel=error"),
        ("ci", "--dry-run", "--no-audit", "--no-fund", "--loglevel=error"),
    ):
        ran = subprocess.run(["npm", *command], cwd=manifest.parent, check=False)  # noqa: S607 - found on PATH, as make finds it
        if ran.returncode:
            sys.exit(f"`npm {' '.join(command)}` failed in {manifest.parent}: see its output above")
