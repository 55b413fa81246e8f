"""Where the pinned CLI of a backend is, and its version."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from msgspec import Struct

from backends.base import Backend
from harness.packaged import cli_lock


class CliMissing(Exception):
    """The CLI is not installed; the message says how to get it."""


class Cli(Struct, frozen=True):
    """An installed CLI: its executable and the version that npm installed."""

    executable: Path
    version: str


def pinned_clis() -> Path:
    """Return the folder in which `proctor setup` installs the CLIs of this Proctor's lock; it may not exist yet.

    It is in the user's cache and has the lock's digest as its name: checkouts and environments with the same lock
    share it. Raise `CliMissing` for a user without a home.
    """
    digest = hashlib.sha256(cli_lock().read_bytes()).hexdigest()[:16]
    return _cache() / "proctor" / "clis" / digest


def find_cli(backend: Backend, root: Path | None = None) -> Cli:
    """Return the CLI that npm installed in the folder `root`, by default the pinned one. Raise `CliMissing`."""
    modules = (root or pinned_clis()) / "node_modules"
    executable = modules / ".bin" / backend.program
    manifest = modules / backend.package / "package.json"
    if not executable.exists() or not manifest.exists():
        raise CliMissing(f"{backend.program} ({backend.package}) is not installed: run `proctor setup`")
    return Cli(executable, json.loads(manifest.read_text())["version"])


def _cache() -> Path:
    """Return the user's cache. A relative XDG_CACHE_HOME is ignored, as the XDG specification asks."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        raise CliMissing("this user has no home to hold the CLIs: set HOME or XDG_CACHE_HOME") from None
