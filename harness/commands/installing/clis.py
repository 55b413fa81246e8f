"""Installs the pinned CLIs that come from npm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backends.base import Backend, NpmPackage
from backends.registry import backend, own_names
from harness.agent.cli import Cli, CliMissing, find_cli, pinned_version
from harness.commands.errors import SetupFailed
from harness.commands.installing import npm
from harness.commands.installing.start import require_start
from harness.commands.installing.whole import install_whole
from harness.packaged import cli_lock


def installed(root: Path) -> dict[str, Cli]:
    """Return the CLIs of the lock in the folder `root`, by backend. Raise `CliMissing` if one is missing."""
    return {adapter.name: find_cli(adapter, root) for adapter in _adapters()}


def _adapters() -> list[Backend]:
    """Return the backends whose CLIs are packages of the lock."""
    found = [backend(name) for name in own_names() if isinstance(backend(name).installation, NpmPackage)]
    return [adapter for adapter in found if pinned_version(adapter.installation) is not None]


def install(root: Path, tell: Callable[[str], None]) -> None:
    """Install the CLIs of the lock in the folder `root`, unless they are there. Raise `SetupFailed`."""

    def fill(partial: Path) -> None:
        tell(f"Installing {len(_adapters())} coding-agent CLIs in {root} (about 1.3 GB)")
        npm.fill(partial, cli_lock())
        for name, cli in installed(partial).items():
            require_start(backend(name), cli)

    try:
        install_whole(root, fill, complete=_complete, tell=tell)
    except CliMissing as error:
        raise SetupFailed(f"npm has installed the CLIs, but {error}") from error
    except OSError as error:
        raise SetupFailed(f"cannot install the CLIs: {error} (set XDG_CACHE_HOME to install them elsewhere)") from error


def _complete(root: Path) -> bool:
    try:
        return bool(installed(root))
    except CliMissing:
        return False
