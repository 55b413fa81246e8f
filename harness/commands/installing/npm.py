"""Installs npm packages as a lock pins them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from harness.commands.errors import SetupFailed
from harness.commands.installing.watch import watch

NODE = 20
"""The oldest major version of Node.js on which all CLIs run."""

_NODE_REMEDY = f"install Node.js {NODE} or newer, with npm: nodejs.org/download, or your system's packages"
_UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")
_REASONS = (
    (
        _UNREACHABLE,
        "the npm registry cannot be reached: check the network and, if you use a proxy or a mirror, "
        "`npm config get registry`, `proxy` and `https-proxy`",
    ),
    (("EINTEGRITY",), "a package differs from the one in the lock: clear npm's cache (`npm cache clean --force`)"),
    (("E401", "E403", "E404"), "the npm registry refuses a package: check `npm config get registry`"),
    (("ENOSPC",), "the disk is full"),
)


def fill(folder: Path, lock: Path) -> None:
    """Install the packages of `lock`, a `package-lock.json`, in a new folder. Raise `SetupFailed` or `OSError`."""
    npm = _npm()
    folder.mkdir()
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
            watch(process, "npm ci")
        finally:  # after Ctrl-C; it does nothing to a process that has ended
            process.terminate()
            process.wait()
        if process.returncode:
            raise SetupFailed(_explained(log))


def _npm() -> str:
    """Return the path of npm. Raise `SetupFailed` if npm or Node.js is missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SetupFailed(f"{'node' if node is None else 'npm'} is not on PATH: {_NODE_REMEDY}")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    version = re.match(r"v(\d+)\.", told)
    if version is None or int(version[1]) < NODE:
        raise SetupFailed(f"{node} is too old ({told or 'it prints no version'}): {_NODE_REMEDY}")
    return npm


def _explained(log: IO[bytes]) -> str:
    """Return why npm failed: a known reason and its remedy, then npm's own output."""
    log.seek(0)
    words = log.read().decode(errors="replace").strip()
    reason = next((f": {text}" for codes, text in _REASONS if any(code in words for code in codes)), "")
    return "\n".join([f"`npm ci` failed{reason}", "npm says:", *words.splitlines()[:12]])
