"""What every kind of box does alike: the command's pipes and the variables it starts with."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


class Pipes:
    """Standard input and output of a command: `stdin` and `stdout` are ours, `far_stdin` and `far_stdout` its own.

    `stdout` is unbuffered, so a selector's word on it is the truth.
    """

    def __init__(self) -> None:
        self.far_stdin, near_stdin = os.pipe()
        near_stdout, self.far_stdout = os.pipe()
        self.stdin: IO[bytes] = os.fdopen(near_stdin, "wb")
        self.stdout: IO[bytes] = os.fdopen(near_stdout, "rb", buffering=0)

    def close_far(self) -> None:
        """Give up the command's ends, so that its end is seen as end of file here."""
        for end in (self.far_stdin, self.far_stdout):
            if end >= 0:
                os.close(end)
        self.far_stdin = self.far_stdout = -1

    def close(self) -> None:
        """Give up all four ends."""
        self.close_far()
        for file in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):  # unsent bytes for a command that is gone
                file.close()


def open_stderr(path: Path) -> int:
    """A descriptor that appends to the host file at `path`; the name may not be a symbolic link."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def search_path() -> tuple[str, ...]:
    """Directories for PATH: this interpreter's programs, the system's, node's."""
    node = shutil.which("node")
    own = (f"{sys.prefix}/bin", *SYSTEM_PATH)
    return own if node is None else tuple(dict.fromkeys((*own, str(Path(node).parent))))


def complete(environment: Mapping[str, str], home: str, path: tuple[str, ...]) -> dict[str, str]:
    """The given variables plus HOME, TMPDIR, PATH and LANG where they are missing; nothing of the host's."""
    return {"HOME": home, "TMPDIR": "/tmp", "PATH": ":".join(path), "LANG": "C.UTF-8", **environment}  # noqa: S108 - the directory's name inside, no file is made here
