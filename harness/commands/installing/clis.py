"""Installs the pinned CLI of a backend in the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backends.base import Backend, NpmPackage, PipPackage
from backends.registry import backend, own_names
from harness.agent.cli import Cli, CliMissing, cli_in, find_cli, lock_of, pinned_folder, pinned_version
from harness.commands.errors import SetupFailed
from harness.commands.installing import npm, pip
from harness.commands.installing.start import require_start
from harness.commands.installing.whole import install_whole

DEFAULT = ("claude", "opencode")
"""The backends whose CLIs `proctor setup` installs if it is not told which. Others are installed at their first use."""


def pinned_backends() -> tuple[str, ...]:
    """Return the names of the backends whose CLIs `proctor setup` can install, sorted."""
    return tuple(name for name in own_names() if pinned_version(backend(name).installation) is not None)


def install(adapter: Backend, tell: Callable[[str], None]) -> Cli:
    """Install the CLI of a backend, unless it is there, and return it.

    A CLI that Proctor does not pin is only looked for. Raise `CliMissing` if it is not there, and `SetupFailed` if a
    pinned one cannot be installed. A second set-up at the same time waits for the first.
    """
    package = adapter.installation
    if not isinstance(package, NpmPackage | PipPackage) or pinned_version(package) is None:
        return find_cli(adapter)
    folder = pinned_folder(package)

    def announce() -> None:
        words = f"{package.executable} {pinned_version(package)} ({package.megabytes} MB, {package.licence})"
        tell(f"Installing {words} in {folder}")

    def complete(root: Path) -> bool:
        try:
            return bool(cli_in(root, package).version)
        except CliMissing:
            return False

    def check(root: Path) -> None:
        require_start(cli_in(root, package), package.executable)

    def fill(partial: Path) -> None:
        announce()
        npm.fill(partial, lock_of(package))
        check(partial)

    try:
        if isinstance(package, NpmPackage):
            install_whole(folder, fill, complete=complete, tell=tell)
        else:
            pip.install(folder, lock_of(package), announce, lambda: check(folder))
        return find_cli(adapter)
    except CliMissing as error:
        raise SetupFailed(f"the installation has succeeded, but {error}") from error
    except OSError as error:
        raise SetupFailed(
            f"cannot install {package.executable}: {error} (set XDG_CACHE_HOME to install elsewhere)"
        ) from error
