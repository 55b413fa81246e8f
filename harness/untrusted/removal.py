"""Removes folders that an agent could write to, however deep, wide or unreadable they are."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from contextlib import suppress
from itertools import count
from pathlib import Path

from harness.untrusted.tree import CHANGE, open_folder

DISCARDED = ".discarded-"
"""The beginning of the name of a folder that is being removed."""

_AT_ONCE_S = 0.3
_DEEPEST = 64


def discard(folder: Path) -> None:
    """Get a folder out of the way, and remove it. Links are removed, never followed. Never raise.

    The folder is renamed to `.discarded-…` beside itself, so its name is free at once. If the removal takes longer than
    a fraction of a second, a thread goes on with it: see `wait`. No process may still be writing there.
    """
    aside = folder.with_name(f"{DISCARDED}{secrets.token_hex(8)}")
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    except OSError:  # a read-only file system, for instance
        aside = folder
    if not remove(aside, _AT_ONCE_S):
        _BACKGROUND.add(aside)


def remove(folder: Path, seconds: float = float("inf")) -> bool:
    """Remove a folder and everything in it, within `seconds`. Return whether it is gone. Never raise.

    Any depth needs the same memory and number of descriptors, because very deep folders are first moved up to the top.
    (`shutil.rmtree` recurses, and fails at some thousand levels.)
    """
    try:
        top = open_folder(folder, rights=CHANGE)
    except OSError:  # it is no folder, or not ours
        with suppress(OSError):
            folder.unlink()
        return not os.path.lexists(folder)
    try:
        _Removal(top, time.monotonic() + seconds).run()
    except TimeoutError:
        return False
    finally:
        os.close(top)
    with suppress(OSError):
        folder.rmdir()
    return not os.path.lexists(folder)


def wait(seconds: float) -> None:
    """Wait for the removals that go on in a thread of this process, at most this long."""
    _BACKGROUND.wait(seconds)


class _Removal:
    """The removal of everything in the open folder `top`. Entries that cannot be removed stay."""

    def __init__(self, top: int, deadline: float) -> None:
        self._top = top
        self._deadline = deadline
        self._prefix = secrets.token_hex(8)
        self._numbers = count()
        self._moved = True

    def run(self) -> None:
        """Remove what can be removed. Raise `TimeoutError` after the deadline."""
        while self._moved:
            self._moved = False
            self._clear(self._top, 0)

    def _clear(self, folder: int, depth: int) -> None:
        for name, is_folder in _entries(folder):
            if time.monotonic() > self._deadline:
                raise TimeoutError
            try:
                if not is_folder:
                    os.unlink(name, dir_fd=folder)
                else:
                    self._clear_folder(name, folder, depth)
            except TimeoutError:
                raise
            except OSError:  # it is gone already, or stays; then its parent stays, too
                continue

    def _clear_folder(self, name: str, parent: int, depth: int) -> None:
        inner = open_folder(name, parent, rights=CHANGE)
        try:
            if depth >= _DEEPEST:
                os.rename(name, f"{self._prefix}-{next(self._numbers)}", src_dir_fd=parent, dst_dir_fd=self._top)
                self._moved = True
                return
            self._clear(inner, depth + 1)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=parent)


def _entries(folder: int) -> list[tuple[str, bool]]:
    """Return the name of each entry, and whether it is a folder."""
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


class _Background:
    """Removes folders one after the other in a thread, which ends when none is left."""

    def __init__(self) -> None:
        self._folders = deque[Path]()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, folder: Path) -> None:
        with self._lock:
            self._folders.append(folder)
            if self._thread is None or not self._thread.is_alive():  # a forked process has no thread
                self._thread = threading.Thread(target=self._work, name="removal", daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> None:
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._folders:
                    self._thread = None
                    return
                folder = self._folders.popleft()
            remove(folder)


_BACKGROUND = _Background()
