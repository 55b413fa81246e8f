"""Finds the installed CLI of a backend, and its version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution
from pathlib import Path

from msgspec import Struct

from backends.base import Backend, Bundled, Installation, NpmPackage, OnPath, PipPackage
from harness.cache import NoHomeError, user_cache
from harness.packaged import cli_pins, harness_version
from harness.seed_key import VARIABLE

_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")
_VERSION_S = 60.0
"""How many seconds a CLI may take to print its version."""


class CliMissing(Exception):
    """The CLI is not installed. The message says how to get it."""


class Cli(Struct, frozen=True):
    """An installed CLI: its executable and its version.

    `given`: the configuration gives its path. `node` is the Node.js that was installed with it and runs it, or `None`
    for a CLI that runs by itself or on the Node.js of this machine. `environment` are the variables that tell the CLI
    where the rest of its installation is.
    """

    executable: Path
    version: str
    given: bool = False
    node: Path | None = None
    environment: Mapping[str, str] = {}

    @property
    def runner(self) -> tuple[str, ...]:
        """What stands before the executable on a command line: the Node.js of its own, if it has one."""
        return () if self.node is None else (str(self.node),)


def pinned_clis() -> Path:
    """Return the folder in which `proctor setup` installs CLIs, in the user's cache. It may not exist yet.

    Raise `CliMissing` for a user without a home.
    """
    try:
        return user_cache() / "clis"
    except NoHomeError as error:
        raise CliMissing(str(error)) from error


def pinned_folder(package: NpmPackage | PipPackage) -> Path:
    """Return the folder in which `proctor setup` installs this CLI. It may not exist yet.

    The digest of the CLI's pins names it, so that every checkout and environment with the same pins shares it. Raise
    `CliMissing` for a user without a home.
    """
    pins = lock_of(package)
    digest = hashlib.sha256(pins.read_bytes() if pins.is_file() else b"").hexdigest()
    return pinned_clis() / f"{package.executable}-{digest[:16]}"


def lock_of(package: NpmPackage | PipPackage) -> Path:
    """Return the file that pins this CLI and all that it depends on. It does not exist if the CLI is not pinned."""
    name = "package-lock.json" if isinstance(package, NpmPackage) else "requirements.txt"
    return cli_pins() / package.executable / name


def find_cli(backend: Backend, clis: Path | None = None) -> Cli:
    """Return the backend's CLI. Raise `CliMissing` if it is not installed.

    `clis` is a folder that holds a folder for each CLI, named by its executable. `None` stands for the pinned CLIs.
    """
    match backend.installation:
        case NpmPackage() as npm:
            return cli_in(clis / npm.executable if clis else pinned_folder(npm), npm)
        case PipPackage() as pip:
            return cli_in(clis / pip.executable if clis else pinned_folder(pip), pip)
        case OnPath() as program:
            return _from_path(program)
        case Bundled():
            return Cli(Path(sys.executable), harness_version())


def cli_in(folder: Path, package: NpmPackage | PipPackage) -> Cli:
    """Return the CLI that npm or pip installed in this folder. Raise `CliMissing` if it is not there."""
    return _from_npm(package, folder) if isinstance(package, NpmPackage) else _from_pip(package, folder)


def given_cli(backend: Backend, executable: Path) -> Cli:
    """Return the CLI at this path, whatever its version is. Raise `CliMissing` if it does not tell its version."""
    installation = backend.installation
    asking = installation.version_arguments if isinstance(installation, OnPath) else ("--version",)
    return Cli(executable, _told_version(str(executable), asking), given=True)


def pinned_version(installation: Installation) -> str | None:
    """Return the version that `backends/cli/` pins, or `None` for a CLI that it does not pin."""
    match installation:
        case NpmPackage(package=package) as npm:
            manifest = lock_of(npm).with_name("package.json")
            versions: dict[str, str] = json.loads(manifest.read_text())["dependencies"] if manifest.is_file() else {}
            return versions.get(package)
        case PipPackage(package=package) as pip:
            lines = lock_of(pip).read_text() if lock_of(pip).is_file() else ""
            pinned = re.search(rf"^{re.escape(package)}==([^\s;\\]+)", lines, re.MULTILINE)
            return pinned[1] if pinned else None
        case OnPath() | Bundled():
            return None


def _from_npm(npm: NpmPackage, folder: Path) -> Cli:
    modules = folder / "node_modules"
    executable, manifest = modules / ".bin" / npm.executable, modules / npm.package / "package.json"
    if not executable.exists() or not manifest.exists():
        raise CliMissing(f"{npm.executable} ({npm.package}) is not installed{_remedy(npm)}")
    node = modules / ".bin" / "node"
    return Cli(
        executable,
        json.loads(manifest.read_text())["version"],
        node=node if node.exists() else None,
        environment={npm.cache: str(modules / ".cache")} if npm.cache else {},
    )


def _from_pip(pip: PipPackage, folder: Path) -> Cli:
    executable, sites = folder / "bin" / pip.executable, folder.glob("lib/python*/site-packages")
    installed = Distribution.discover(name=pip.package, path=[str(site) for site in sites])
    version = next((one.version for one in installed), None)
    if version is None or not executable.exists():
        raise CliMissing(f"{pip.executable} ({pip.package}) is not installed{_remedy(pip)}")
    return Cli(executable, version)


def _remedy(package: NpmPackage | PipPackage) -> str:
    if pinned_version(package) is not None:
        return f": run `proctor setup --backend {package.executable}`"
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
