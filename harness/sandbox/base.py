"""What every sandbox offers, whatever seals it: plain data and two small interfaces."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from msgspec import Struct

from harness.endings import CaseFault, Ending


class SandboxError(CaseFault):
    """The sandbox could not be set up; the message says what happened and, on a second line, the remedy."""

    ending = Ending.SANDBOX_FAILED


class BoxRequest(Struct, frozen=True, kw_only=True):
    """What one sealed box holds.

    `workspace` and `home` are host directories (made and handed over to the sealed uid if need be) that the
    sealed processes may write; `readable` are host paths visible read-only at their original place (an
    interpreter, the CLIs); `mounts` are host directories visible read-only under a name (see `Box.mounts`);
    `endpoints` name the loopback ports to open inside; `stderr` is the host file that takes standard error.
    """

    workspace: Path
    home: Path
    stderr: Path
    readable: tuple[Path, ...] = ()
    mounts: Mapping[str, Path] = {}
    endpoints: tuple[str, ...] = ()


class Endpoint(Struct, frozen=True):
    """A loopback port inside the sandbox and the listening socket that serves it from outside."""

    url: str
    listener: socket.socket


class Death(Struct, frozen=True):
    """How a box ended: the command's exit status (negative: the signal), seconds until the last process was gone."""

    exit_code: int
    seconds: float


class Box(Protocol):
    """A sealed room with its doors open and nothing running yet; `exec` starts the one command.

    `workspace`, `home` and `mounts` are paths as seen inside. `pid` is the host's id of the process of which all others
    of the box descend, once the command was started.
    """

    pid: int
    workspace: str
    home: str
    mounts: Mapping[str, str]
    endpoints: Mapping[str, Endpoint]
    stdin: IO[bytes]
    stdout: IO[bytes]

    def exec(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the command in the workspace with exactly these variables.

        HOME, TMPDIR, PATH and LANG are added where they are not among them.
        """

    def terminate(self) -> None:
        """Ask the command to end (SIGTERM); does not wait."""

    def poll(self) -> int | None:
        """The command's exit code, or none while it runs. Its descendants may live on until `close`."""

    def wait(self, timeout: float) -> int | None:
        """As `poll`, after waiting for the command to end for at most `timeout` seconds."""

    def close(self) -> Death:
        """Kill every process inside, wait until the kernel has none left, close the doors. May be called again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sandbox(Protocol):
    """A way of sealing processes in."""

    name: str

    @property
    def version(self) -> str:
        """What seals, and its version, for the record."""

    def open(self, request: BoxRequest) -> Box:
        """Seal a box and open its doors. Raises `SandboxError`."""
