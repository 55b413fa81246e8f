"""Where the pinned CLI of a backend is, and its version."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec import Struct

from backends.base import Backend

CLI_ROOT = Path(__file__).resolve().parents[2] / "backends" / "cli"


class CliMissing(Exception):
    """The CLI is not installed; the message says how to get it."""


class Cli(Struct, frozen=True):
    """An installed CLI: its executable and the version that npm installed."""

    executable: Path
    version: str


def find_cli(backend: Backend, root: Path = CLI_ROOT) -> Cli:
    """The CLI that `npm ci` installed from `backends/cli/package-lock.json`. Raises `CliMissing`."""
    modules = root / "node_modules"
    executable = modules / ".bin" / backend.program
    manifest = modules / backend.package / "package.json"
    if not executable.exists() or not manifest.exists():
        raise CliMissing(f"{backend.program} ({backend.package}) is not installed: run `make setup`")
    return Cli(executable, json.loads(manifest.read_text())["version"])
