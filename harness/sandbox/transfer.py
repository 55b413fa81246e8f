"""Copies a folder that may be hostile, from descriptor to descriptor: files, folders and links, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.untrusted.tree import CHANGE, open_folder

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 64
_ENTRIES = 20_000
_SECONDS = 20.0
_CHUNK = 1 << 24


class Transfer:
    """One copy of the contents of `source` to `target`, an empty folder. `uid` gets everything.

    No file may change meanwhile. These are left out, and counted in `left_out`: special files, what is more than 64
    folders deep, and what exceeds `size` bytes, 20,000 entries or 20 seconds in all. Sparse files stay sparse, and
    setuid bits are lost.
    """

    def __init__(self, source: Path, target: Path, uid: int, size: int) -> None:
        self.left_out = 0
        self._uid, self._bytes, self._entries = uid, size, _ENTRIES
        self._deadline = time.monotonic() + _SECONDS
        with _opened(source) as here, _opened(target) as there:
            self._folder(here, there, 0)

    def _folder(self, source: int, target: int, depth: int) -> None:
        with os.scandir(source) as entries:
            names = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        for name, status in names:
            self._entries -= 1
            try:
                taken = (
                    self._entries >= 0
                    and time.monotonic() < self._deadline
                    and self._entry(name, status, source, target, depth)
                )
            except OSError:
                taken = False
            self.left_out += not taken

    def _entry(self, name: str, status: os.stat_result, source: int, target: int, depth: int) -> bool:
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, self._uid, self._uid, dir_fd=target, follow_symlinks=False)
            return True
        if stat.S_ISDIR(status.st_mode) and depth < _DEEPEST:
            os.mkdir(name, 0o700, dir_fd=target)
            with _opened(name, source) as here, _opened(name, target) as there:
                self._folder(here, there, depth + 1)
                self.finish(there, status)
            return True
        if stat.S_ISREG(status.st_mode):
            return self._file(name, status, source, target)
        return False

    def _file(self, name: str, status: os.stat_result, source: int, target: int) -> bool:
        self._bytes -= status.st_blocks * 512
        if self._bytes < 0:
            return False
        here = os.open(name, _READ, dir_fd=source)
        try:
            there = os.open(name, _WRITE, 0o600, dir_fd=target)
            try:
                for start, end in _data(here, status.st_size):
                    _copy(here, there, start, end)
                os.ftruncate(there, status.st_size)
                self.finish(there, status)
            finally:
                os.close(there)
        finally:
            os.close(here)
        return True

    def finish(self, target: int, status: os.stat_result) -> None:
        """Give an open copy the owner, the rights and the times that it should have."""
        os.fchown(target, self._uid, self._uid)
        os.fchmod(target, status.st_mode & 0o777)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_contents(folder: Path, fresh: Path, uid: int, size: int) -> int:
    """Replace `folder` by a copy of `fresh`, and return how many entries were left out. Raise `OSError`."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
    new.mkdir(mode=0o700)
    try:
        done = Transfer(fresh, new, uid, size)
        with _opened(new) as copied, _opened(fresh) as original:
            done.finish(copied, os.fstat(original))
        shutil.rmtree(folder)  # no transfer makes it deeper than that can handle
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return done.left_out


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a file that are not holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # there is only a hole up to the end
                raise
            return
        end = min(os.lseek(file, start, os.SEEK_HOLE), size)
        yield start, end


def _copy(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        copied = os.sendfile(target, source, start, min(end - start, _CHUNK))
        if not copied:
            return
        start += copied


@contextmanager
def _opened(name: str | Path, parent: int | None = None) -> Iterator[int]:
    folder = open_folder(name, parent, rights=CHANGE)
    try:
        yield folder
    finally:
        os.close(folder)
