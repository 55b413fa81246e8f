"""The interface of every kind of sandbox: plain data, and the protocols `Sandbox` and `Box`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from msgspec import Struct
from msgspec.structs import replace

from harness.case import Limits
from harness.endings import CaseFault, Ending

MB = 1_000_000
"""The bytes of a megabyte, as the limits of a case count them."""


class SandboxError(CaseFault):
    """The sandbox failed. The message says what happened and, on a second line, what to do."""

    ending = Ending.SANDBOX_FAILED


class Interpreter(Struct, frozen=True):
    """A Python that can import the harness's packages inside a box.

    `inside` is its path as a box sees it. `readable` are the host paths that a `BoxRequest` must name so that it runs.
    If the boxes of a kind have their own Python, this is empty.
    """

    inside: str
    readable: tuple[Path, ...] = ()


class Bounds(Struct, frozen=True, kw_only=True):
    """What a box may use at most, all its processes together. `None` means no bound.

    `memory_bytes` includes what lies in its /tmp and /dev/shm. `tasks` counts processes and threads. `disk_bytes` are
    those of workspace and home.
    """

    memory_bytes: int | None = None
    tasks: int | None = None
    disk_bytes: int | None = None

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Return the bounds that the limits of a case set."""
        memory, disk = (None if limit is None else int(limit * MB) for limit in (limits.memory_mb, limits.disk_mb))
        return cls(memory_bytes=memory, disk_bytes=disk)


def _nothing() -> None:
    """Do nothing: the default for `BoxRequest.closed`."""


class BoxRequest(Struct, frozen=True, kw_only=True):
    """What one box holds, and within which bounds.

    `workspace` and `home` are host directories that the processes inside may write. They are created if they are
    missing. `readable` are host paths that appear read-only at the same path (an interpreter, a CLI). `hidden` are host
    paths that do not appear there, although they lie in one that does. `mounts` are host
    directories that appear read-only under a name, at the path in `Box.mounts`. `shared` names the mounts that other
    boxes may show too. What the host changes in them while the box is open may not show in it. `endpoints` names the
    loopback ports to open inside. The command's standard error is appended to the host file `stderr`. If `kept` is
    false, what the box writes to `workspace` and `home` may be lost. The box calls `closed` when it has been closed.

    Processes inside can read the host's paths of `workspace`, `home`, `mounts` and `stderr`.
    """

    workspace: Path
    home: Path
    stderr: Path
    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    mounts: Mapping[str, Path] = {}
    shared: frozenset[str] = frozenset()
    endpoints: tuple[str, ...] = ()
    bounds: Bounds = Bounds()
    kept: bool = True
    closed: Callable[[], None] = _nothing


class Endpoint(Struct, frozen=True):
    """A loopback port inside a box: its URL as seen inside, and the listening socket that serves it from outside."""

    url: str
    listener: socket.socket


class Death(Struct, frozen=True):
    """How a box ended.

    `exit_code` is the command's. It is negative if a signal ended the command. `seconds` is the time until the last
    process had ended.
    """

    exit_code: int
    seconds: float


class Resources(Struct, frozen=True):
    """What a box uses: bytes of memory, number of processes, and bytes on disk in workspace and home.

    `out_of_memory` is true if the kernel has killed a process of the box at its memory limit.
    """

    memory_bytes: int = 0
    processes: int = 0
    disk_bytes: int = 0
    out_of_memory: bool = False


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
        """Start the command in the workspace, with these variables and none of the host's.

        HOME, TMPDIR, PATH and LANG are added if they are missing. Raise `SandboxError` if the command cannot start.
        """

    def terminate(self) -> None:
        """Send SIGTERM to the command. Does not wait."""

    def poll(self) -> int | None:
        """Return the command's exit code, or `None` while it runs. Its descendants may live on until `close`."""

    def wait(self, timeout: float) -> int | None:
        """Wait at most `timeout` seconds for the command to end. Return what `poll` returns."""

    def resources(self) -> Resources:
        """Return what the box uses. It may be called often, because figures may be some seconds old."""

    def outside(self) -> Path:
        """Return where the host sees the workspace at the moment. While the box is open, this may not be the folder of
        the request, which has its contents again when the box is closed.
        """

    def leaks(self) -> list[str]:
        """Return the leaks that are visible from the host, in words: an empty list for a sealed box. The probe asks."""

    def close(self) -> Death:
        """Kill every process inside, wait until all have ended, and close the endpoints.

        A second call returns the same `Death`. Raise `SandboxError` if a process outlives SIGKILL.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sandbox(Protocol):
    """One kind of sandbox, set up by a `SandboxConf`.

    Making one is cheap: it reads the configuration and starts nothing. `seals` says whether the kind promises to keep a
    process away from the host's files, network and processes, and within its limits. The probe tests that promise. A
    kind that does not seal is for debugging only.
    """

    name: str
    seals: bool

    @property
    def version(self) -> str:
        """The sandbox's program and its version, for the record. Raise `SandboxError` if it is not installed."""

    @property
    def python(self) -> Interpreter:
        """The Python to run inside a box of this sandbox."""

    @property
    def weaker(self) -> tuple[str, ...]:
        """What this machine and user cannot guarantee about limits, in words: empty if the kernel keeps them all."""

    def open(self, request: BoxRequest) -> Box:
        """Return a sealed box whose endpoints listen. Raise `SandboxError` if it cannot be set up."""


class ProvenSandbox:
    """A sandbox that the probe has tried on this machine. `guarantees` names what holds here."""

    def __init__(self, sandbox: Sandbox, guarantees: tuple[str, ...]) -> None:
        self.name, self.seals = sandbox.name, sandbox.seals
        self.guarantees = guarantees
        self._sandbox = sandbox

    @property
    def version(self) -> str:
        """See `Sandbox.version`."""
        return self._sandbox.version

    @property
    def python(self) -> Interpreter:
        """See `Sandbox.python`."""
        return self._sandbox.python

    @property
    def weaker(self) -> tuple[str, ...]:
        """See `Sandbox.weaker`."""
        return self._sandbox.weaker

    def open(self, request: BoxRequest) -> Box:
        """See `Sandbox.open`."""
        return self._sandbox.open(request)


class BoundedSandbox(ProvenSandbox):
    """A sandbox whose boxes all have the same bounds, and hide the same paths of the host: those of one case."""

    def __init__(self, sandbox: Sandbox, bounds: Bounds, hidden: tuple[Path, ...] = ()) -> None:
        super().__init__(sandbox, guarantees_of(sandbox))
        self.bounds, self._hidden = bounds, hidden

    def open(self, request: BoxRequest) -> Box:
        """See `Sandbox.open`. The bounds of the request are replaced, and what it hides."""
        return super().open(replace(request, bounds=self.bounds, hidden=self._hidden))


def guarantees_of(sandbox: Sandbox) -> tuple[str, ...]:
    """Return what a sandbox is known to guarantee on this machine: nothing, if it has not been proven."""
    return sandbox.guarantees if isinstance(sandbox, ProvenSandbox) else ()
