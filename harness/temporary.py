"""Temporary folders that do not outlive a killed process for long: the next process that makes one removes them."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.untrusted.removal import remove

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def temporary_folder(what: str) -> Iterator[Path]:
    """Make a temporary folder for its owner alone, and remove it afterwards.

    Folders for the same purpose, `what`, whose processes were killed are removed first.
    """
    sweep(what)
    folder = Path(tempfile.mkdtemp(prefix=_prefix(what)))
    lock = hold(folder)
    try:
        yield folder
    finally:
        remove(folder)
        os.close(lock)


def hold(folder: Path) -> int:
    """Keep a folder from being swept until the returned descriptor is closed, or this process ends."""
    lock = os.open(folder, _OPEN)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def sweep(what: str) -> None:
    """Remove the temporary folders of this user for this purpose that no process holds."""
    for folder in abandoned(what):
        with suppress(OSError):  # another process removes it, too
            remove(folder)


def abandoned(what: str) -> Iterator[Path]:
    """Yield the temporary folders of this user for this purpose that no process holds. Each is held meanwhile."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(what)}*"):
        with suppress(OSError):  # it is held, or has just been removed
            lock = os.open(folder, _OPEN)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield folder
            finally:
                os.close(lock)


def _prefix(what: str) -> str:
    return f"proctor-{what}-"
