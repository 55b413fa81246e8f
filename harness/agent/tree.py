"""Reads folders that an agent can write to. Links are not followed, and any depth is allowed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.agent.clock import Clock
from harness.sandbox.base import SandboxError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PAUSE_S = 0.05
_PATIENCE_S = 5.0


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the name and status of every entry below `folder`, even while others change it.

    The walk holds at most two descriptors. It leaves out entries that vanish or cannot be opened, and ends early if
    someone moves the folder that it is reading.
    """
    here = os.open(folder, _FOLDER)
    try:
        folders: list[str] = []
        yield from _entries(here, folders)
        way = [(_identity(here), folders)]
        while way:
            folders = way[-1][1]
            if folders:
                inner = _opened(folders.pop(), here)
                if inner is not None:
                    here, outer = inner, here
                    os.close(outer)
                    folders = []
                    yield from _entries(here, folders)
                    way.append((_identity(here), folders))
                continue
            way.pop()
            if way:
                here, inner = os.open("..", _FOLDER, dir_fd=here), here
                os.close(inner)
                if _identity(here) != way[-1][0]:
                    return
    finally:
        os.close(here)


def digest(folders: Sequence[Path]) -> str:
    """Return a digest that changes when anything in these folders changes: a name, kind, size or modification time."""
    state = hashlib.blake2b(digest_size=16)
    for folder in folders:
        for name, status in walk(folder):
            seen = (name, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
            state.update(repr(seen).encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def settle(folders: Sequence[Path], clock: Clock) -> float:
    """Wait until two checks in a row find the folders unchanged. Return the seconds that this took.

    Raise `SandboxError` if they still change after five seconds, because a process of the box must still be alive.
    """
    began = clock.now()
    last = digest(folders)
    while clock.now() - began < _PATIENCE_S:
        clock.sleep(_PAUSE_S)
        if last == (last := digest(folders)):
            return clock.now() - began
    raise SandboxError(
        f"{folders[0].parent} still changes although every process of the box was killed\n"
        "look for a process that escaped from it; without a sandbox (sandbox=none), a daemon can escape"
    )


def _entries(folder: int, folders: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the entries of one folder, and add the names of its subfolders to `folders`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
            except OSError:
                continue
            yield entry.name, status


def _opened(name: str, parent: int) -> int | None:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError:
        return None


def _identity(folder: int) -> tuple[int, int]:
    status = os.fstat(folder)
    return status.st_dev, status.st_ino
