"""Installs the pinned CLIs that come from npm with `npm ci`, whole or not at all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from backends.base import Backend, NpmPackage
from backends.registry import backend, own_names
from harness.agent.cli import Cli, CliMissing, find_cli, pinned_version
from harness.commands.errors import SetupFailed
from harness.commands.installing.start import require_start
from harness.packaged import cli_lock

NODE = 20
"""The oldest major version of Node.js that all CLIs run on."""

_NODE_REMEDY = f"install Node.js {NODE} or newer, with npm: nodejs.org/download, or your system's packages"
_UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")
_REASONS = (
    (
        _UNREACHABLE,
        "the npm registry cannot be reached: check the network and, where there are a proxy or a mirror, "
        "`npm config get registry`, `proxy` and `https-proxy`",
    ),
    (("EINTEGRITY",), "a package is not the one that the lock names: clear npm's cache (`npm cache clean --force`)"),
    (("E401", "E403", "E404"), "the npm registry refuses a package: check `npm config get registry`"),
    (("ENOSPC",), "the disk is full: the CLIs take about 1.3 GB"),
)


def installed(root: Path) -> dict[str, Cli]:
    """Return the CLI of each backend that npm installs, in the folder `root`, by its name. Raises `CliMissing`."""
    return {adapter.name: find_cli(adapter, root) for adapter in _adapters()}


def _adapters() -> list[Backend]:
    """Return the backends whose CLIs are packages of the lock."""
    found = [backend(name) for name in own_names() if isinstance(backend(name).installation, NpmPackage)]
    return [adapter for adapter in found if pinned_version(adapter.installation) is not None]


def install(root: Path, tell: Callable[[str], None]) -> None:
    """Install the CLIs of the lock into the folder `root`, unless they are there. Raises `SetupFailed`.

    The files are first written beside `root` and renamed when every CLI has started, so that `root` is never half
    complete. A second set-up at the same time waits for the first.
    """
    if _complete(root):
        return
    try:
        npm = _npm()
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
                _fill(npm, partial)
                for name, cli in installed(partial).items():
                    require_start(backend(name), cli)
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


def _npm() -> str:
    """Return the path of npm. Raises `SetupFailed` where npm or Node.js is missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SetupFailed(f"{'node' if node is None else 'npm'} is not on PATH: {_NODE_REMEDY}")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    version = re.match(r"v(\d+)\.", told)
    if version is None or int(version[1]) < NODE:
        raise SetupFailed(f"{node} is too old ({told or 'it does not tell its version'}): {_NODE_REMEDY}")
    return npm


@contextmanager
def _alone(root: Path, tell: Callable[[str], None]) -> Iterator[None]:
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


def _fill(npm: str, folder: Path) -> None:
    """Let npm install the lock's packages in a new folder. Raises `SetupFailed`."""
    folder.mkdir()
    lock = cli_lock()
    for file in (lock, lock.with_name("package.json")):
        shutil.copyfile(file, folder / file.name)
    command = [npm, "ci", "--include=optional", "--ignore-scripts=false", "--no-audit", "--no-fund", "--loglevel=error"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            umask=0o022,  # a sealed CLI runs as another user, who must be able to read its files
        )
        try:
            _watch(process)
        finally:  # a process that has ended is left alone
            process.terminate()
            process.wait()
        if process.returncode:
            raise SetupFailed(_explained(log))


def _watch(process: subprocess.Popen[bytes]) -> None:
    """Wait for npm and, on a terminal, show that time passes."""
    begun = time.monotonic()
    shown = sys.stderr.isatty()
    while process.poll() is None:
        if shown:
            print(f"\r  npm ci: {time.monotonic() - begun:.0f} s ", end="", file=sys.stderr, flush=True)
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            continue
    if shown:
        print(end="\r\033[K", file=sys.stderr, flush=True)


def _explained(log: IO[bytes]) -> str:
    """Return why npm failed: a known reason and its remedy, then npm's own words."""
    log.seek(0)
    words = log.read().decode(errors="replace").strip()
    reason = next((f": {text}" for codes, text in _REASONS if any(code in words for code in codes)), "")
    return "\n".join([f"`npm ci` failed{reason}", "npm says:", *words.splitlines()[:12]])
