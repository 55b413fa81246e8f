"""The commit of a folder that belongs to a Git checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_LONGEST_S = 10.0
_COMMAND = ("git", "--no-optional-locks", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40")


def commit_of(folder: Path) -> str | None:
    """Return the commit that is checked out in a folder, or `None` if Git cannot tell.

    The name ends in `-dirty` if a tracked file differs from the commit. Untracked files do not count.
    """
    # In a Git hook, these variables name another checkout than the one in which the folder lies.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            _COMMAND,
            cwd=folder,
            env=kept,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
