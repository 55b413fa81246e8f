"""What an attempt is, and the words that attempts are written in.

An attempt is a function. If it returns, it has succeeded: the room is breached. If it raises `OSError`, the room has
held. If it raises `Impossible`, it cannot be made on this machine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
NUMBERS = {  # system calls that the filter's own table does not have
    "openat2": 437,
    "fchmodat2": 452,
    "clone3": 435,
    "io_uring_setup": 425,
    "memfd_secret": 447,
    "mq_open": 240 if X86 else 180,
    "shmget": 29 if X86 else 194,
    "semget": 64 if X86 else 190,
    "msgget": 68 if X86 else 186,
}
HOST: dict[str, Any] = {"endpoint": 0, "port": 0, "pid": 0, "shm_key": 0}
"""What the host tells about itself, so that an attempt knows what to look for. `begin` fills it."""


class Impossible(Exception):
    """The attempt cannot be made here. The message says why."""


class Attempt(NamedTuple):
    """A way out, and the layers without which it works: a positive control takes them away.

    `root_only` says why an ordinary user can make no control. `only` is the kind of room that the attempt is for.
    """

    run: Callable[[], object]
    without: frozenset[str]
    root_only: str = ""
    only: str = ""


Attempts = dict[str, Attempt]

HOSTS_RIGHTS = "needs a capability of the host's own user namespace"


def attempt(run: Callable[[], object], without: str, root_only: str = "", only: str = "") -> Attempt:
    return Attempt(run, frozenset(without.split()), root_only, only)


def begin(host: dict[str, Any]) -> None:
    """Note what the host tells about itself."""
    HOST.update(host)
    NUMBERS.update(host["numbers"])


def workspace(name: str = "") -> Path:
    """Return a path in the room's own folder."""
    return Path.cwd() / name


def refuse(number: int = errno.EACCES) -> None:
    """Say that the room has held."""
    raise OSError(number, os.strerror(number))


def checked(result: int) -> int:
    """Return the result of a function of the C library. Raise `OSError` if that is negative."""
    if result < 0:
        refuse(ctypes.get_errno())
    return result


def call(name: str, *arguments: int | bytes | ctypes.Array[Any] | None) -> int:
    """Make a system call and return its result. Raise `OSError`."""
    if name not in NUMBERS:
        raise Impossible(f"this architecture has no {name}")
    made = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    return checked(LIBC.syscall(NUMBERS[name], *made))


def calls(name: str, *arguments: int | bytes | None) -> Callable[[], object]:
    """Return an attempt that makes a system call."""
    return lambda: call(name, *arguments)


def reaches(name: str, *arguments: int | bytes | None) -> Callable[[], object]:
    """Return an attempt that makes a system call with arguments that do no harm.

    It succeeds if the kernel looks at the arguments at all, because it asks for rights before that.
    """

    def attempted() -> None:
        try:
            call(name, *arguments)
        except OSError as error:
            if error.errno in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
                raise

    return attempted


def filled(text: str) -> str:
    return text.format(**HOST)


def opens(path: str, flags: int = os.O_RDONLY) -> Callable[[], object]:
    """Return an attempt that opens a file of the host, and reads or writes nothing."""
    return lambda: os.close(os.open(filled(path), flags | os.O_NONBLOCK))


def lists(path: str) -> Callable[[], object]:
    return lambda: os.listdir(filled(path))  # noqa: PTH208 - an attempt


def creates(folder: str) -> Callable[[], object]:
    """Return an attempt that makes a file in a folder, and removes it again."""

    def attempted() -> None:
        file = Path(filled(folder), f"proctor-escape-{os.getpid()}")
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        file.unlink()

    return attempted


def connects(family: int, address: Callable[[], Any], kind: int = socket.SOCK_STREAM) -> Callable[[], object]:
    def attempted() -> None:
        with socket.socket(family, kind) as found:
            found.settimeout(5)
            found.connect(address())

    return attempted


def reaches_socket(path: str) -> Callable[[], object]:
    return connects(socket.AF_UNIX, lambda: filled(path))
