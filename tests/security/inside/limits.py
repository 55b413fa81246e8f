"""Attempts to take more than a room's share, which a process can see by itself."""

from __future__ import annotations

import os
import signal
import threading

from .trying import Attempts, attempt, refuse, workspace

FILES, PROCESSES = 5000, 700


def open_many() -> None:
    for _ in range(FILES):
        os.open("/dev/null", os.O_RDONLY)


def write_much() -> None:
    """Make a file of 60 GB, without writing it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file = os.open(workspace("much"), os.O_CREAT | os.O_RDWR)
    try:
        os.ftruncate(file, 60 << 30)
    finally:
        workspace("much").unlink()


def start_many() -> None:
    threading.stack_size(1 << 16)
    stop = threading.Event()
    try:
        for _ in range(PROCESSES):
            threading.Thread(target=stop.wait, daemon=True).start()
    except RuntimeError:
        refuse(11)
    finally:
        stop.set()


LIMITS: Attempts = {
    "open 5,000 files": attempt(open_many, "limits"),
    "make a file of 60 GB": attempt(write_much, "limits"),
    "start 700 threads": attempt(start_many, "limits"),
}
"""Attempts to take too much, by name."""
