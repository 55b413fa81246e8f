"""Removes a folder that a submission could write to."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from harness.sandbox.tree import CHANGE, open_folder


def discard(folder: Path) -> None:
    """Remove a folder and everything in it, however deep or unreadable. Links are removed, never followed.

    Nested folders are first moved up to the top, so that any depth needs the same memory and two descriptors.
    (`shutil.rmtree` recurses, and fails at some thousand levels.) No process may still be writing there.
    """
    prefix = secrets.token_hex(8)
    fresh = (f"{prefix}-{number}" for number in count())
    top = open_folder(folder, rights=CHANGE)
    try:
        while names := _names(top):
            for name in names:
                if not _unlinked(name, top):
                    _empty(name, top, fresh)
                    os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _empty(name: str, top: int, fresh: Iterator[str]) -> None:
    """Remove the files of a folder in `top`, and move its subfolders up to `top`."""
    inner = open_folder(name, top, rights=CHANGE)
    try:
        for child in _names(inner):
            if not _unlinked(child, inner):
                os.rename(child, next(fresh), src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _unlinked(name: str, parent: int) -> bool:
    """Remove one entry and return true. If it is a folder, make it accessible and return false."""
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        os.chmod(name, 0o700, dir_fd=parent)
        return False
    return True
