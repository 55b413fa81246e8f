"""Installs the pinned CLIs that come from npm into a folder, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from backends.base import Backend, NpmPackage
from backends.registry import backend, own_names
from harness.agent.cli import Cli, CliMissing, find_cli, pinned_version
from harness.commands.errors import SetupFailed
from harness.commands.installing import npm
from harness.commands.installing.start import require_start


def installed(root: Path) -> dict[str, Cli]:
    """Return the CLIs of the lock in the folder `root`, by backend. Raise `CliMissing` if one is missing."""
    return {adapter.name: find_cli(adapter, root) for adapter in _adapters()}


def _adapters() -> list[Backend]:
    """Return the backends whose CLIs are packages of the lock."""
    found = [backend(name) for name in own_names() if isinstance(backend(name).installation, NpmPackage)]
    return [adapter for adapter in found if pinned_version(adapter.installation) is not None]


def install(root: Path, tell: Callable[[str], None]) -> None:
    """Install the CLIs of the lock in the folder `root`, unless they are there. Raise `SetupFailed`.

    The files are first written beside `root`. They get its name once every CLI has started, so `root` is complete or
    it does not exist. A second set-up waits for the first. Files that an interrupted set-up left behind are removed.
    """
    if _complete(root):
        return
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _alone(root, tell):
            if _complete(root):
                return
            for left in (root, *root.parent.glob(f"{root.name}.partial-*")):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(
                prefix=f"{root.name}.partial-", dir=root.parent, ignore_cleanup_errors=True
            ) as scratch:
                partial = Path(scratch, "clis")
                tell(f"Installing {len(_adapters())} coding-agent CLIs in {root} (about 1.3 GB)")
                npm.fill(partial)
                for name, cli in installed(partial).items():
                    require_start(backend(name), cli)
                partial.rename(root)
    except CliMissing as error:
        raise SetupFailed(f"npm has installed the CLIs, but {error}") from error
    except OSError as error:
        raise SetupFailed(f"cannot install the CLIs: {error} (set XDG_CACHE_HOME to install them elsewhere)") from error


def _complete(root: Path) -> bool:
    try:
        return bool(installed(root))
    except CliMissing:
        return False


@contextmanager
def _alone(root: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Keep other set-ups of this folder out. The lock ends with this process, even if the process is killed."""
    lock = FileLock(root.with_name(f"{root.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(f"Waiting for another set-up, which is installing the CLIs in {root}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
