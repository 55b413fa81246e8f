"""Checks that a CLI that was just installed starts on this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from harness.agent.cli import Cli
from harness.commands.errors import SetupFailed
from harness.temporary import temporary_folder

_START_S = 60.0
"""Seconds that a CLI may take to print its version."""


def require_start(cli: Cli, name: str) -> None:
    """Let the CLI of this name print its version. Raise `SetupFailed` if it does not start."""
    with temporary_folder("setup") as folder:
        home = str(folder)
        try:
            ran = subprocess.run(
                [*cli.runner, cli.executable, "--version"],
                cwd=home,
                env={"HOME": home, "PATH": _search_path(), **cli.environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_START_S,
                check=False,
                umask=0o022,  # a sealed CLI runs as another user, who must be able to read what it unpacks here
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupFailed(f"{name} {cli.version} does not start: {error}") from error
    if cli.version not in ran.stdout + ran.stderr:
        words = (ran.stdout + ran.stderr).strip()
        raise SetupFailed(f"{name} {cli.version} does not start (status {ran.returncode}): {words}")


def _search_path() -> str:
    """Return a PATH with the folder of this machine's node first, for CLIs that are Node.js scripts."""
    node = shutil.which("node")
    return ":".join([*([str(Path(node).parent)] if node else []), "/usr/local/bin", "/usr/bin", "/bin"])
