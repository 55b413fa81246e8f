"""Reads what other processes append to a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from msgspec import Struct


class FileStamp(Struct, frozen=True):
    """What tells whether a file is as it was: its inode, its size, and the time of its last change in nanoseconds."""

    inode: int
    size: int
    mtime_ns: int


def stamp_of(path: Path) -> FileStamp | None:
    """Return the stamp of a regular file, or `None` if there is none. Links are not followed."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return FileStamp(found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


class GrowingFile:
    """A file that another process appends to. `read` returns what is new.

    `stamp` is that of the file when it was last read, or `None` if it was not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp: FileStamp | None = None
        self._offset = 0

    def is_new(self) -> bool:
        """Return whether this is not the file that was read before, or a part of it that was read has changed.

        Then the next `read` begins at its start.
        """
        now, before = stamp_of(self.path), self.stamp
        if now is None or before is None:
            return now is not before
        rewritten = now.size == before.size and now.mtime_ns != before.mtime_ns and self._offset == before.size
        return now.inode != before.inode or now.size < self._offset or rewritten

    def read(self, most: int) -> bytes:
        """Return up to `most` bytes that were not read before. Without a file, return nothing.

        Raise `OSError` if it cannot be read.
        """
        if self.is_new():
            self._offset = 0
        self.stamp = stamp_of(self.path)
        if self.stamp is None or self.stamp.size <= self._offset:
            return b""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = os.pread(descriptor, min(most, self.stamp.size - self._offset), self._offset)
        finally:
            os.close(descriptor)
        self._offset += len(data)
        return data
