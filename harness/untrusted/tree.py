"""Walks, from the host, a folder that a sealed process may write to."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

READ = 0o500
"""The rights that its owner needs to read everything in a folder."""
CHANGE = 0o700
"""The rights that its owner needs to read, change and move a folder."""

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def walk(folder: Path, *, rights: int = READ, moved: list[str] | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the name and status of every entry below `folder`, which others may change at the same time.

    Do not follow links. Handle any depth with at most two descriptors. Skip entries that vanish. A folder of this user
    that lacks `rights` for its owner gets them, so that no agent can hide what it wrote. Skip the folders of other
    users that cannot be opened. End early if a folder moves elsewhere during its walk. Add the names of folders that
    vanished or moved to `moved`.
    """
    for _parent, name, status in _visited(folder, rights, [] if moved is None else moved):
        yield name, status


def give(folder: Path, uid: int) -> None:
    """Give a folder and everything in it to a user, whose group has the same number. Do not follow links.

    No other process may be writing there. Raise `OSError` if this user may not do that.
    """
    os.chown(folder, uid, uid, follow_symlinks=False)
    for parent, name, _status in _visited(folder, READ, []):
        os.chown(name, uid, uid, dir_fd=parent, follow_symlinks=False)


def _visited(folder: Path, rights: int, lost: list[str]) -> Iterator[tuple[int, str, os.stat_result]]:
    """Yield an open folder, a name in it and that entry's status, for every entry below `folder`.

    Add the names of folders that vanished or moved to `lost`.
    """
    here = open_folder(folder, rights=rights)
    try:
        folders: list[str] = []
        yield from _entries(here, folders)
        way = [(_identity(here), folders)]
        while way:
            folders = way[-1][1]
            if folders:
                name = folders.pop()
                inner = _opened(name, here, rights, lost)
                if inner is not None:
                    here, outer = inner, here
                    os.close(outer)
                    folders = []
                    yield from _entries(here, folders)
                    way.append((_identity(here), folders))
                continue
            way.pop()
            if way:
                here, inner = open_folder("..", here, rights=rights), here
                os.close(inner)
                if _identity(here) != way[-1][0]:
                    lost.append(name)
                    return
    finally:
        os.close(here)


def open_folder(name: str | Path, parent: int | None = None, *, rights: int = READ) -> int:
    """Open a folder, given its path or its name in the open folder `parent`. Return its descriptor.

    If the folder lacks `rights` for its owner, and the owner is this user, it gets all rights of an owner. No link is
    followed. Raise `OSError` if the folder cannot be opened.
    """
    try:
        folder = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        return _regained(name, parent)
    status = os.fstat(folder)
    if status.st_mode & rights != rights and status.st_uid == os.geteuid():
        os.fchmod(folder, stat.S_IMODE(status.st_mode) | CHANGE)
    return folder


def open_file(name: str, parent: int) -> int:
    """Open the file of this name in the open folder `parent` for reading. Return its descriptor.

    If its owner may not read the file, and the owner is this user, the owner gets this right. No link is followed, and
    a FIFO or a device is not waited for. Raise `OSError` if it cannot be opened.
    """
    try:
        return os.open(name, _FILE, dir_fd=parent)
    except PermissionError:
        return _made_readable(name, parent)


def _made_readable(name: str, parent: int) -> int:
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        itself = Path(f"/proc/self/fd/{place}")
        itself.chmod(stat.S_IMODE(status.st_mode) | stat.S_IRUSR)
        return os.open(itself, _FILE & ~os.O_NOFOLLOW)
    finally:
        os.close(place)


def _regained(name: str | Path, parent: int | None) -> int:
    """Give a folder that its owner cannot open all rights of an owner, and open it."""
    place = os.open(name, _FOLDER | os.O_PATH, dir_fd=parent)
    try:
        itself = Path(f"/proc/self/fd/{place}")  # fchmod refuses a descriptor of O_PATH
        itself.chmod(stat.S_IMODE(os.fstat(place).st_mode) | CHANGE)
        return os.open(itself, _FOLDER & ~os.O_NOFOLLOW)
    finally:
        os.close(place)


def _entries(folder: int, folders: list[str]) -> Iterator[tuple[int, str, os.stat_result]]:
    """Yield the entries of one folder as `_visited` does, and add the names of its subfolders to `folders`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
            except OSError:
                continue
            yield folder, entry.name, status


def _opened(name: str, parent: int, rights: int, lost: list[str]) -> int | None:
    try:
        return open_folder(name, parent, rights=rights)
    except FileNotFoundError:
        lost.append(name)
    except OSError:
        pass
    return None


def _identity(folder: int) -> tuple[int, int]:
    status = os.fstat(folder)
    return status.st_dev, status.st_ino
