"""A file system of its own for the workspace and the home of a box, so that the kernel keeps the limit of the disk.

It is an ext4 image in a file without a name, mounted nowhere on the host. Only root can make one, and only where there
are loop devices and `mkfs.ext4`. The kernel removes all of it with the last process that uses it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from harness.sandbox.kernel import LIBC, MNT_DETACH, call, inside_mounts, mounted, move_mount, picked

_HEADROOM = 1.18
"""The size of the image over the limit, so that the limit is seen to be passed before the disk is full."""
_OWN_BYTES = 1_000_000
_BYTES_PER_INODE = 8192
_BLOCK = 4096
_GET_FREE, _CONFIGURE, _AUTOCLEAR = 0x4C82, 0x4C0A, 4
_TRIES = 20


def can_make_disks() -> bool:
    """Return whether this user can make such file systems on this machine. It is tried once for each user."""
    return _tried(os.geteuid())


@cache
def _tried(uid: int) -> bool:
    if uid != 0:
        return False
    try:
        Disk(Path(tempfile.gettempdir()), 1_000_000, {"trial": "/"}, uid).close()
    except OSError:
        return False
    return True


class Disk:
    """A file system for at most `limit` bytes, with one folder for each name in `places`, which `uid` owns.

    `places` says where the folders appear in the box. Raise `OSError` if this machine cannot make one. The image lies
    in the file system of `folder`. `size` is that of the image, in bytes.
    """

    def __init__(self, folder: Path, limit: int, places: dict[str, str], uid: int) -> None:
        self._places = places
        self.size = size = (int(limit * _HEADROOM) + _OWN_BYTES) // _BLOCK * _BLOCK
        with tempfile.TemporaryFile(dir=folder) as image:
            for offset, content in _template(size):
                os.pwrite(image.fileno(), content, offset)
            image.truncate(size)
            self._mount = mounted(
                "ext4", _loop(image.fileno()), ("nobarrier",)
            )  # it is gone before it would be read again
        for name in places:
            os.mkdir(name, 0o755, dir_fd=self._mount)
            os.chown(name, uid, uid, dir_fd=self._mount)
        self._empty = os.fstatvfs(self._mount)

    def folder(self, name: str) -> Path:
        """Return where this process sees one of the folders, until `close`."""
        return Path("/proc/self/fd", str(self._mount), name)

    def used(self) -> int:
        """Return the bytes in use. Each file counts at least 8 kB."""
        now, empty = os.fstatvfs(self._mount), self._empty
        return max((empty.f_bfree - now.f_bfree) * now.f_frsize, (empty.f_ffree - now.f_ffree) * _BYTES_PER_INODE)

    def show(self, pidfd: int) -> None:
        """Make the folders appear in the box of this process, which has not started anything yet. Raise `OSError`."""
        inside_mounts(pidfd, self._show)

    def close(self) -> None:
        """Give the file system up. It is gone when the box is gone."""
        os.close(self._mount)

    def _show(self) -> None:
        """Show the folders from inside. The whole file system is mounted first.

        The kernel copies only mounts that are somewhere.
        """
        last = list(self._places.values())[-1]
        move_mount(self._mount, last)
        copies = {place: picked(f"{last}/{name}") for name, place in self._places.items()}
        call(LIBC.umount2, last.encode(), MNT_DETACH)
        for place, copy in copies.items():
            move_mount(copy, place)
            os.close(copy)


@cache
def _template(size: int) -> list[tuple[int, bytes]]:
    """Return the contents of an empty file system of this size: the offset of each part that is not empty, and it."""
    program = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise FileNotFoundError("there is no mkfs.ext4")
    options = [
        "-q",
        "-F",
        "-m",
        "0",
        "-b",
        str(_BLOCK),
        "-i",
        str(_BYTES_PER_INODE),
        "-O",
        "^has_journal,^resize_inode",
    ]
    with tempfile.TemporaryFile() as file:  # without a name, it goes with this process
        file.truncate(size)
        extended = ["-E", "lazy_itable_init=1,nodiscard"]
        arguments = [program, *options, *extended, f"/proc/self/fd/{file.fileno()}"]
        made = subprocess.run(arguments, capture_output=True, text=True, check=False, pass_fds=[file.fileno()])
        if made.returncode:
            raise OSError(f"mkfs.ext4: {made.stderr.strip()}")
        return list(data_parts(file.fileno(), size))


def data_parts(file: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield each part of a file of this size that is not a hole, with its offset. Raise `OSError`."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError:  # there is only a hole up to the end
            return
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, os.pread(file, end - start, start)


def _loop(image: int) -> int:
    """Return an open loop device for an image. It is freed with its last user."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _CONFIGURE, _loop_config(image))
            except OSError:  # another process was quicker
                os.close(device)
                continue
            return device
    finally:
        os.close(control)
    raise OSError("no loop device is free")


def _loop_config(image: int) -> bytes:
    """Return a `struct loop_config` of linux/loop.h."""
    names = bytes(64 + 64 + 32 + 16)
    info = struct.pack("=5Q4I", 0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR) + names
    return struct.pack("=II", image, _BLOCK) + info + bytes(64)
