"""What every sandbox offers, whatever it is built on: plain data, and the protocols `Sandbox` and `Box`."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from msgspec import Struct

from harness.endings import CaseFault, Ending


class SandboxError(CaseFault):
    """The sandbox failed. The message says what happened and, on a second line, what to do."""

    ending = Ending.SANDBOX_FAILED


class Interpreter(Struct, frozen=True):
    """A Python that can import the harness's packages inside a box.

    `inside` is its path as a box sees it. `readable` are the host paths that a `BoxRequest` must name for it to run; a
    kind whose boxes bring their own Python needs no such paths.
    """

    inside: str
    readable: tuple[Path, ...] = ()


class BoxRequest(Struct, frozen=True, kw_only=True):
    """What one box holds.

    `workspace` and `home` are host directories that the processes inside may write; they are created if they are
    missing. `readable` are host paths that show read-only at their own place (an interpreter, a CLI). `mounts` are host
    directories that show read-only under a name; `Box.mounts` says where. `endpoints` names the loopback ports to open
    inside. `stderr` is the host file to which the command's standard error is appended.
    """

    workspace: Path
    home: Path
    stderr: Path
    readable: tuple[Path, ...] = ()
    mounts: Mapping[str, Path] = {}
    endpoints: tuple[str, ...] = ()


class Endpoint(Struct, frozen=True):
    """A loopback port inside a box: its URL as seen inside, and the listening socket that serves it from outside."""

    url: str
    listener: socket.socket


class Death(Struct, frozen=True):
    """How a box ended.

    `exit_code` is the command's; it is negative if a signal ended the command. `seconds` is how long it took until the
    last process was gone.
    """

    exit_code: int
    seconds: float


class Resources(Struct, frozen=True):
    """What a box uses: bytes of resident memory and number of its processes, bytes on disk in workspace and home."""

    memory_bytes: int = 0
    processes: int = 0
    disk_bytes: int = 0


class Box(Protocol):
    """A sealed room for one command. Its endpoints listen from the start; `exec` starts the command.

    `workspace`, `home` and `mounts` are paths as seen inside. `stdin` and `stdout` are the harness's ends of the
    command's pipes.
    """

    workspace: str
    home: str
    mounts: Mapping[str, str]
    endpoints: Mapping[str, Endpoint]
    stdin: IO[bytes]
    stdout: IO[bytes]

    def exec(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the command in the workspace, with these variables and nothing of the host's.

        HOME, TMPDIR, PATH and LANG are added if they are missing. Raise `SandboxError` if the command cannot start.
        """

    def terminate(self) -> None:
        """Send SIGTERM to the command. Does not wait."""

    def poll(self) -> int | None:
        """Return the command's exit code, or `None` while it runs. Its descendants may live on until `close`."""

    def wait(self, timeout: float) -> int | None:
        """Wait at most `timeout` seconds for the command to end; return what `poll` returns."""

    def resources(self) -> Resources:
        """Return what the box uses. Cheap to call ten times a second: the figures may be two seconds old."""

    def leaks(self) -> list[str]:
        """Return what a look from the host finds unsealed, in words; empty for a sound box. The probe asks this."""

    def close(self) -> Death:
        """Kill every process inside, wait until the kernel has none left, and close the endpoints.

        A second call returns the same `Death`. Raise `SandboxError` if a process outlives SIGKILL.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sandbox(Protocol):
    """One kind of sandbox, set up by a `SandboxConf`.

    Making one is cheap: it reads the configuration and starts nothing, so that `seals` can be asked at any time.
    `seals` says whether the kind promises to keep a process from the host's files, network and processes and to keep
    it within its limits. The probe tests that promise; a kind that does not seal is for debugging only.
    """

    name: str
    seals: bool

    @property
    def version(self) -> str:
        """The program that seals and its version, for the record. Raise `SandboxError` if it is not installed."""

    @property
    def python(self) -> Interpreter:
        """The Python to run inside a box of this sandbox."""

    def open(self, request: BoxRequest) -> Box:
        """Return a sealed box whose endpoints listen. Raise `SandboxError` if it cannot be set up."""
