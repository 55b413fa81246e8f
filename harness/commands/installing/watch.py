"""Shows, while a program installs something, that time passes."""

from __future__ import annotations

import subprocess
import sys
import time


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
