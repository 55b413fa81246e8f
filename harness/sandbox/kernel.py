"""System calls for mounts that Python does not offer. See the manual pages of fsopen(2) and move_mount(2)."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
MNT_DETACH = 2
LIBC = ctypes.CDLL(None, use_errno=True)

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432  # the same on all architectures
_CLOEXEC, _CLONE, _AT_FDCWD = 1, 1, -100
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096
_FROM_EMPTY_PATH = 4


def call(function: Callable[..., int], *arguments: object) -> int:
    """Call a function of the C library and return its result. Raise `OSError` if that is negative."""
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def mounted(kind: str, device: int, flags: Sequence[str] = ()) -> int:
    """Return the descriptor of a new mount of an open device, which is closed. The mount is nowhere yet."""
    try:
        source = str(Path(f"/proc/self/fd/{device}").readlink())
        context = _syscall(_FSOPEN, kind.encode(), _CLOEXEC)
        try:
            _syscall(_FSCONFIG, context, _SET_STRING, b"source", source.encode(), 0)
            for flag in flags:
                _syscall(_FSCONFIG, context, _SET_FLAG, flag.encode(), None, 0)
            _syscall(_FSCONFIG, context, _CREATE, None, None, 0)
            return _syscall(_FSMOUNT, context, _CLOEXEC, _NOSUID | _NODEV)
        finally:
            os.close(context)
    finally:
        os.close(device)


def picked(path: str) -> int:
    """Return the descriptor of a new mount of the folder at `path` and what is below. It is nowhere yet."""
    return _syscall(_OPEN_TREE, _AT_FDCWD, path.encode(), _CLONE | os.O_CLOEXEC)


def move_mount(mount: int, place: str) -> None:
    """Mount what a descriptor stands for on the folder `place`."""
    _syscall(_MOVE_MOUNT, mount, b"", _AT_FDCWD, place.encode(), _FROM_EMPTY_PATH)


def inside_mounts(pidfd: int, action: Callable[[], None]) -> None:
    """Call `action` in the mount namespace of a process. Only root may enter it. Raise what `action` raises.

    A thread enters the namespace, and ends there.
    """
    failed: list[OSError] = []

    def work() -> None:
        try:
            call(LIBC.unshare, CLONE_FS)
            call(LIBC.setns, pidfd, CLONE_NEWNS)
            action()
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def hide(paths: Sequence[str]) -> None:
    """Show nothing at these paths below /proc of the current mount namespace, and make all of /proc read-only.

    A folder becomes an empty one. A file becomes a device on a mount without devices, which cannot be opened.
    """
    call(LIBC.mount, b"none", b"/proc", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV | _NOEXEC, None)
    for path in filter(os.path.lexists, paths):
        place = path.encode()
        if os.path.isdir(path):  # noqa: PTH112 - the name of a place, not a path of ours
            call(LIBC.mount, b"none", place, b"tmpfs", _RDONLY, None)
        else:
            call(LIBC.mount, os.devnull.encode(), place, None, _BIND, None)
            call(LIBC.mount, b"none", place, None, _REMOUNT | _BIND | _RDONLY | _NODEV, None)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    return call(LIBC.syscall, number, *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
