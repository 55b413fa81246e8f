"""Folders and files that only their owner can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_DEPTH = 12


def private_folder(path: Path) -> None:
    """Make a folder, and its missing parents, which only their owner can enter. A folder that exists stays as it is.

    Raise `OSError` if that is not possible.
    """
    missing = [path, *path.parents]
    for folder in reversed([one for one in missing if not one.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)


def make_private(folder: Path) -> None:
    """Take the rights of other users from a folder and what is in it, as far as it belongs to this user.

    Hidden entries are left out. Raise `OSError` if that is not possible.
    """
    _close(folder, _DEPTH)


def _close(path: Path, depth: int) -> None:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid():
        return
    if status.st_mode & _OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
    if stat.S_ISDIR(status.st_mode) and depth:
        for inner in path.iterdir():
            if not inner.name.startswith("."):
                _close(inner, depth - 1)
