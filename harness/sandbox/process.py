"""What all kinds of box do in the same way: the command's pipes and variables."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


class Pipes:
    """The pipes of a command. The harness keeps `stdin` and `stdout`. The command gets `far_stdin` and `far_stdout`.

    `stdout` is unbuffered, so that a selector always knows whether there is something to read. It is a socket, because
    any process of the same user can open another process's pipe in /proc/PID/fd and write to it, but not a socket.
    """

    def __init__(self) -> None:
        self.far_stdin, near_stdin = os.pipe()
        near_stdout, far_stdout = socket.socketpair()
        near_stdout.shutdown(socket.SHUT_WR)
        self.far_stdout = far_stdout.detach()
        self.stdin: IO[bytes] = os.fdopen(near_stdin, "wb")
        self.stdout: IO[bytes] = os.fdopen(near_stdout.detach(), "rb", buffering=0)

    def close_far(self) -> None:
        """Close the command's ends in this process, so that its exit appears as end of file."""
        for end in (self.far_stdin, self.far_stdout):
            if end >= 0:
                os.close(end)
        self.far_stdin = self.far_stdout = -1

    def close(self) -> None:
        """Close all four ends."""
        self.close_far()
        for file in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):  # bytes that a dead command never read
                file.close()


def open_stderr(path: Path) -> int:
    """Return a descriptor that appends to the host file at `path`, which must not be a symbolic link."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def search_path() -> tuple[str, ...]:
    """Return the directories for PATH: those of this interpreter's programs, of the system's, and of node."""
    node = shutil.which("node")
    own = (f"{sys.prefix}/bin", *SYSTEM_PATH)
    return own if node is None else tuple(dict.fromkeys((*own, str(Path(node).parent))))


def complete(environment: Mapping[str, str], home: str, path: tuple[str, ...]) -> dict[str, str]:
    """Return the given variables, with HOME, TMPDIR, PATH and LANG added if missing, and none of the host's."""
    return {"HOME": home, "TMPDIR": "/tmp", "PATH": ":".join(path), "LANG": "C.UTF-8", **environment}  # noqa: S108 - the directory's name inside, no file is made here
