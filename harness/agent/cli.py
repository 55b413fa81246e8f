"""Finds the installed CLI of a backend, and its version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution
from pathlib import Path

from msgspec import Struct

from backends.base import Backend, Bundled, Installation, NpmPackage, OnPath, PipPackage
from harness.cache import NoHomeError, user_cache
from harness.packaged import cli_lock, cli_requirements, harness_version
from harness.seed_key import VARIABLE

_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")
_VERSION_S = 60.0
"""How many seconds a CLI may take to print its version."""


class CliMissing(Exception):
    """The CLI is not installed. The message says how to get it."""


class Cli(Struct, frozen=True):
    """An installed CLI: its executable and its version. `given`: the configuration gives its path."""

    executable: Path
    version: str
    given: bool = False


def pinned_clis() -> Path:
    """Return the folder in which `proctor setup` installs the CLIs that this Proctor pins. It may not exist yet.

    It lies in the user's cache. The digest of the pins names it, so that every checkout and environment with the same
    pins shares it. Raise `CliMissing` for a user without a home.
    """
    digest = hashlib.sha256(cli_lock().read_bytes())
    for pins in cli_requirements():
        digest.update(pins.read_bytes())
    try:
        return user_cache() / "clis" / digest.hexdigest()[:16]
    except NoHomeError as error:
        raise CliMissing(str(error)) from error


def find_cli(backend: Backend, root: Path | None = None) -> Cli:
    """Return the backend's CLI. Raise `CliMissing` if it is not installed.

    `root` is the folder into which npm (`node_modules/`) and pip (`venvs/PACKAGE/`) installed CLIs, by default the
    folder of the pinned ones.
    """
    match backend.installation:
        case NpmPackage() as npm:
            return _from_npm(npm, root or pinned_clis())
        case PipPackage() as pip:
            return _from_pip(pip, root or pinned_clis())
        case OnPath() as program:
            return _from_path(program)
        case Bundled():
            return Cli(Path(sys.executable), harness_version())


def given_cli(backend: Backend, executable: Path) -> Cli:
    """Return the CLI at this path, whatever its version is. Raise `CliMissing` if it does not tell its version."""
    installation = backend.installation
    asking = installation.version_arguments if isinstance(installation, OnPath) else ("--version",)
    return Cli(executable, _told_version(str(executable), asking), given=True)


def pinned_version(installation: Installation) -> str | None:
    """Return the version that `backends/cli/` pins, or `None` for a CLI that it does not pin."""
    match installation:
        case NpmPackage(package=package):
            manifest = json.loads(cli_lock().with_name("package.json").read_text())
            versions: dict[str, str] = manifest["dependencies"]
            return versions.get(package)
        case PipPackage(package=package):
            lines = "".join(file.read_text() for file in cli_requirements() if file.stem == package)
            pinned = re.search(rf"^{re.escape(package)}==([^\s;\\]+)", lines, re.MULTILINE)
            return pinned[1] if pinned else None
        case OnPath() | Bundled():
            return None


def virtual_environment(pip: PipPackage, root: Path) -> Path:
    """Return the folder of the virtual environment of this CLI, where `root` is the folder of all CLIs."""
    return root / "venvs" / pip.package


def _from_npm(npm: NpmPackage, root: Path) -> Cli:
    modules = root / "node_modules"
    executable, manifest = modules / ".bin" / npm.executable, modules / npm.package / "package.json"
    if not executable.exists() or not manifest.exists():
        raise CliMissing(f"{npm.executable} ({npm.package}) is not installed{_remedy(npm)}")
    return Cli(executable, json.loads(manifest.read_text())["version"])


def _from_pip(pip: PipPackage, root: Path) -> Cli:
    own = virtual_environment(pip, root)
    executable, sites = own / "bin" / pip.executable, own.glob("lib/python*/site-packages")
    installed = Distribution.discover(name=pip.package, path=[str(site) for site in sites])
    version = next((one.version for one in installed), None)
    if version is None or not executable.exists():
        raise CliMissing(f"{pip.executable} ({pip.package}) is not installed{_remedy(pip)}")
    return Cli(executable, version)


def _remedy(package: NpmPackage | PipPackage) -> str:
    if pinned_version(package) is not None:
        return ": run `proctor setup`"
    return ", and backends/cli/ does not pin it: pin it there, or have its adapter find it on PATH (`OnPath`)"


def _from_path(program: OnPath) -> Cli:
    executable = shutil.which(program.executable)
    if executable is None:
        raise CliMissing(f"{program.executable} is not on PATH: {program.how_to_install}")
    return Cli(Path(executable), _told_version(executable, program.version_arguments))


def _told_version(executable: str, arguments: Sequence[str]) -> str:
    """Return the version that a CLI prints. Raise `CliMissing` if it prints none."""
    command = [executable, *arguments]
    try:
        ran = subprocess.run(
            command,
            env={name: value for name, value in os.environ.items() if name != VARIABLE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VERSION_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CliMissing(f"`{' '.join(command)}` tells no version: {error}") from error
    found = _VERSION.search(ran.stdout + ran.stderr)
    if found is None:
        raise CliMissing(f"`{' '.join(command)}` tells no version: it exited with code {ran.returncode}")
    return found[0]
