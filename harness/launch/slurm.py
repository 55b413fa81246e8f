"""Asks Slurm, by its commands."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

_ASKED_S = 60.0
_FORGOTTEN = "Invalid job id"


class SlurmError(Exception):
    """Slurm does not answer, or refuses. The message says which command, and what it said."""


def ask(command: Sequence[str]) -> str:
    """Return what a command prints: nothing for a job that Slurm has forgotten. Raise `SlurmError` if it fails.

    Slurm forgets a job a few minutes after its end.
    """
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ASKED_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from error
    if asked.returncode and _FORGOTTEN not in asked.stderr:
        raise SlurmError(f"{command[0]}: {asked.stderr.strip() or f'status {asked.returncode}'}")
    return asked.stdout
