"""A disk that fails: a real file system on a loop device, which fills up, breaks, or becomes read-only. Needs root."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from harness.sandbox.disk import data_parts
from harness.sandbox.kernel import CLONE_FS, CLONE_NEWNS, LIBC, call

_SIZE = 128 << 20
_STEPS = (4 << 20, 64 << 10, 4 << 10)
_ADD_SEALS, _SEAL_FUTURE_WRITE = 1033, 0x10  # Python 3.11 has no names for them


def disks_can_fail() -> bool:
    """Return whether this user can make such a disk on this machine."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


def enter_own_mounts() -> None:
    """Give this thread, and the processes that it starts, mounts of their own. They are gone with the last of them."""
    call(LIBC.unshare, CLONE_FS | CLONE_NEWNS)
    _do("mount", "--make-rprivate", "/")


class FailingDisk:
    """An ext4 file system that is mounted at `place`; a context manager. Its image is a file in memory.

    Only this process and those that it starts see it.

    `fill` leaves no space on it. `break_down` lets each write to the device fail with EIO, because the image is sealed.
    `stop_writing` makes the kernel refuse each write with EROFS, as it does when a disk has failed. `repair` undoes
    all this, as someone would who looks after the machine: what the disk had not stored is lost.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / "filler"
        self._image = _new_image()

    def __enter__(self) -> Self:
        enter_own_mounts()
        self.place.mkdir(parents=True, exist_ok=True)
        _do("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard", self._path)
        self._mount()
        (self.place / "lost+found").rmdir()
        return self

    def __exit__(self, *_: object) -> None:
        _do("umount", str(self.place))
        os.close(self._image)

    def fill(self) -> None:
        """Take all space that is free."""
        with suppress(OSError), self._filler.open("ab") as filler:
            size = filler.tell()
            for step in _STEPS:
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(filler.fileno(), size, step)
                        size += step

    def break_down(self) -> None:
        """Let the disk store nothing more."""
        fcntl.fcntl(self._image, _ADD_SEALS, _SEAL_FUTURE_WRITE)

    def stop_writing(self) -> None:
        """Let the kernel refuse each write."""
        with suppress(subprocess.CalledProcessError):
            _do("mount", "-o", "remount,abort", str(self.place))

    def repair(self) -> None:
        """Make the disk work again. Raise `CalledProcessError` if a process still uses it."""
        _do("umount", str(self.place))
        image = _new_image()
        for start, content in data_parts(self._image, _SIZE):
            os.pwrite(image, content, start)
        os.close(self._image)
        self._image = image
        with suppress(subprocess.CalledProcessError):  # it says by its status that it has repaired something
            _do("e2fsck", "-fy", self._path)
        self._mount()
        self._filler.unlink(missing_ok=True)

    @property
    def _path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._image}"

    def _mount(self) -> None:
        _do("mount", "-o", "loop,errors=remount-ro", self._path, str(self.place))
        if str(self.place) in Path("/proc/1/mountinfo").read_text():
            _do("umount", str(self.place))
            raise AssertionError(f"{self.place} is mounted where every process of the machine sees it")


def _new_image() -> int:
    image = os.memfd_create("disk", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(image, _SIZE)
    return image


def _do(program: str, *arguments: str) -> None:
    subprocess.run([program, *arguments], check=True, capture_output=True)
