"""A disk that fails: a real file system on a loop device, which fills up, breaks, or becomes read-only. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from harness.sandbox.kernel import CLONE_FS, CLONE_NEWNS, LIBC, call

_IMAGE_MB, _BACKING_MB = 128, 160
_STEP = 1 << 16


def disks_can_fail() -> bool:
    """Return whether this user can make such a disk on this machine."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


def enter_own_mounts() -> None:
    """Give this thread, and the processes that it starts, mounts of their own. They are gone with the last of them."""
    call(LIBC.unshare, CLONE_FS | CLONE_NEWNS)
    _do("mount", "--make-rprivate", "/")


def require_unseen(place: Path) -> None:
    """Undo the mount at `place`, and raise `AssertionError`, if the rest of the machine can see it."""
    if str(place) in Path("/proc/1/mountinfo").read_text() or not os.path.ismount(place):
        _do("umount", str(place))
        raise AssertionError(f"{place} is mounted where every process sees it")


class FailingDisk:
    """An ext4 file system that is mounted at `place`; a context manager. Its image lies in a small file system.

    Only this process and those that it starts see it.

    `fill` leaves no space on it. `break_down` lets writes of new blocks fail with EIO, because the image cannot grow.
    `stop_writing` makes the kernel refuse each write with EROFS, as it does when a disk has failed. `repair` undoes
    all this, as someone would who looks after the machine: what the disk had not stored is lost.
    """

    def __init__(self, folder: Path, place: Path) -> None:
        self.place = place
        self._backing = folder / "backing"
        self._image = self._backing / "image"
        self._fillers = (place / "filler", self._backing / "filler")

    def __enter__(self) -> Self:
        enter_own_mounts()
        for folder in (self._backing, self.place):
            folder.mkdir(parents=True, exist_ok=True)
        _do("mount", "-t", "tmpfs", "-o", f"size={_BACKING_MB}m", "tmpfs", str(self._backing))
        with self._image.open("wb") as image:
            image.truncate(_IMAGE_MB << 20)
        _do("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard", str(self._image))
        require_unseen(self._backing)
        self._mount()
        (self.place / "lost+found").rmdir()
        return self

    def __exit__(self, *_: object) -> None:
        _do("umount", str(self.place))
        _do("umount", str(self._backing))

    def fill(self) -> None:
        """Take all space that is free."""
        _fill(self._fillers[0])

    def break_down(self) -> None:
        """Let the disk store no new block."""
        _fill(self._fillers[1])

    def stop_writing(self) -> None:
        """Let the kernel refuse each write."""
        with suppress(subprocess.CalledProcessError):
            _do("mount", "-o", "remount,abort", str(self.place))

    def repair(self) -> None:
        """Make the disk work again. Raise `CalledProcessError` if a process still uses it."""
        _do("umount", str(self.place))
        self._fillers[1].unlink(missing_ok=True)
        with suppress(subprocess.CalledProcessError):  # it says by its status that it has repaired something
            _do("e2fsck", "-fy", str(self._image))
        self._mount()
        self._fillers[0].unlink(missing_ok=True)

    def _mount(self) -> None:
        _do("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.place))


def _fill(file: Path) -> None:
    """Let a file take all space that is left in its file system."""
    with suppress(OSError), file.open("ab") as filler:
        size = filler.tell()
        for step in (_STEP << 6, _STEP, 1 << 12):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(filler.fileno(), size, step)
                    size += step


def _do(program: str, *arguments: str) -> None:
    subprocess.run([program, *arguments], check=True, capture_output=True)
