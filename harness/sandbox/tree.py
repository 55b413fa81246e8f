"""Walks, from the host, a folder that a sealed process may write to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the name and status of every entry below `folder`, which others may change at the same time.

    Do not follow links. Handle any depth with at most two descriptors. Skip entries that vanish, and folders that
    cannot be opened. End early if a folder moves elsewhere during its walk.
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
