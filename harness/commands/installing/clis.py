"""Installs the pinned CLIs into a folder, whole or not at all."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from backends.base import Backend
from backends.registry import backend, names
from harness.agent.cli import Cli, CliMissing, find_cli
from harness.commands.errors import SetupFailed
from harness.commands.installing import npm

_START_S = 60.0
"""Seconds that a CLI may take to tell its version."""


def installed(root: Path) -> dict[str, Cli]:
    """Return the CLI of each backend in the folder `root`, by the backend's name. Raise `CliMissing`."""
    return {name: find_cli(backend(name), root) for name in names()}


def install(root: Path, tell: Callable[[str], None]) -> None:
    """Install the pinned CLIs in the folder `root`, unless they are there. Raise `SetupFailed`.

    The files are first written beside `root`. They get its name once every CLI has started, so `root` is complete or
    it does not exist. A second set-up waits for the first. What an interrupted one left behind is removed.
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
                tell(f"Installing {len(names())} coding-agent CLIs in {root} (about 1.3 GB)")
                npm.fill(partial)
                for name, cli in installed(partial).items():
                    _require_start(backend(name), cli)
                partial.rename(root)
    except CliMissing as error:
        raise SetupFailed(f"npm has installed the CLIs, but {error}") from error
    except OSError as error:
        raise SetupFailed(f"cannot install the CLIs: {error} (XDG_CACHE_HOME can name another place)") from error


def _complete(root: Path) -> bool:
    try:
        return bool(installed(root))
    except CliMissing:
        return False


@contextmanager
def _alone(root: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Keep other set-ups of this folder out. The lock ends with this process, however it ends."""
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


def _require_start(adapter: Backend, cli: Cli) -> None:
    """Raise `SetupFailed` if a CLI does not print its version: npm may have left out its program for this machine."""
    with tempfile.TemporaryDirectory(prefix="proctor-setup-") as home:
        try:
            ran = subprocess.run(
                [cli.executable, "--version"],
                cwd=home,
                env={"HOME": home, "PATH": _search_path()},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_START_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupFailed(f"{adapter.program} {cli.version} does not start: {error}") from error
    if cli.version not in ran.stdout + ran.stderr:
        words = (ran.stdout + ran.stderr).strip()
        raise SetupFailed(f"{adapter.program} {cli.version} does not start (status {ran.returncode}): {words}")


def _search_path() -> str:
    """Return a PATH that has this user's node first: some CLIs are scripts for it."""
    node = shutil.which("node")
    return ":".join([*([str(Path(node).parent)] if node else []), "/usr/local/bin", "/usr/bin", "/bin"])
