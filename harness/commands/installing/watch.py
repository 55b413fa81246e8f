"""Runs programs that take long, and shows on a terminal that time passes."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Final

from harness.commands.errors import SetupFailed

_READABLE: Final = 0o022
"""The umask of installed files: an environment may run as another user than the one who installed it."""


def run_watched(command: Sequence[str], what: str, *, quiet: bool = True) -> None:
    """Run a program, and show for how long. Raise `SetupFailed` if it fails. If `quiet`, only then show its output."""
    with tempfile.TemporaryFile() as log:
        output = log if quiet else None
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, umask=_READABLE)
        try:
            watch(process, what)
        finally:  # after Ctrl-C; it does nothing to a process that has ended
            process.terminate()
            process.wait()
        log.seek(0)
        said = log.read()
    if process.returncode:
        words = said.decode(errors="replace").strip() or "see its output above"
        raise SetupFailed(f"{what} failed: {words}\nthe command was `{shlex.join(command)}`")


def watch(process: subprocess.Popen[bytes], what: str) -> None:
    """Wait for a process to end. On a terminal, show what it does and for how many seconds it has run."""
    begun = time.monotonic()
    shown = sys.stderr.isatty()
    while process.poll() is None:
        if shown:
            print(f"\r  {what}: {time.monotonic() - begun:.0f} s ", end="", file=sys.stderr, flush=True)
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            continue
    if shown:
        print(end="\r\033[K", file=sys.stderr, flush=True)
