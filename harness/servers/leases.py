"""Which model servers run on this machine for this user, who uses them, and which GPUs they hold: one file, one lock.

The file lies in a folder that outlives the login session, as a nightly run does; after a restart of the machine it
counts for nothing. Every change is made under the lock and written whole.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct, field

from harness.servers.base import Facts, ServerFault
from harness.servers.processes import Process, myself

FOLDER_VARIABLE = "PROCTOR_LEASES"
"""Names another folder for the leases than /tmp/proctor-UID."""

_LOCK_S = 60.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Holder(Struct, frozen=True):
    """One use of a server, by a process that may have died."""

    process: Process
    id: str


class ServerFailure(Struct, frozen=True):
    """Why a server is of no use; `missing` tells `ServerMissing` from `ServerFault`."""

    message: str
    missing: bool = False


class LeasedServer(Struct, kw_only=True):
    """A model server: who uses it and, while it is started or stopped, who does that (`owner`).

    `key` is the need's, and after `#` what tells apart servers of that name that are not set up alike.
    `folder` is its own in the run that started it, `gpus` are UUIDs, `free_mb` what these had free before it came.
    Without a `folder` it is somebody else's: it has neither process nor GPUs and is never stopped.
    """

    id: str
    key: str
    parallel: int
    state: Literal["starting", "ready", "stopping", "failed"]
    owner: Holder | None
    holders: list[Holder]
    folder: str | None = None
    gpus: tuple[str, ...] = ()
    free_mb: tuple[int, ...] = ()
    process: Process | None = None
    url: str | None = None
    facts: Facts = Facts()
    restarts: int = 0
    failure: ServerFailure | None = None

    @property
    def name(self) -> str:
        """The key of the need that it serves."""
        return self.key.partition("#")[0]

    @property
    def has_room(self) -> bool:
        """Whether one more may use it."""
        return self.state in {"starting", "ready"} and len(self.holders) < self.parallel

    @property
    def abandoned(self) -> bool:
        """Whether nobody who lives uses it, or whoever was starting or stopping it is dead."""
        if self.state in {"starting", "stopping"}:
            return self.owner is None or not self.owner.process.lives
        return not any(holder.process.lives for holder in self.holders)


class LeaseState(Struct):
    """All that the file holds."""

    boot: str
    servers: list[LeasedServer] = field(default_factory=list)

    def find(self, server_id: str) -> LeasedServer | None:
        """The server of that id; none if it is no more."""
        return next((server for server in self.servers if server.id == server_id), None)

    def get(self, server_id: str) -> LeasedServer:
        """The server of that id. Raises `ServerFault` if it is no more."""
        server = self.find(server_id)
        if server is None:
            raise ServerFault("the model server was stopped by somebody else, or its lease was lost")
        return server

    def remove(self, server_id: str) -> None:
        """Forget a server."""
        self.servers = [server for server in self.servers if server.id != server_id]


class Leases:
    """The leases in `folder`, which is made, and must be this user's alone. Raises `ServerFault` if it is not."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or lease_folder()
        _secure(self.folder)
        self._file = lease_file(self.folder)
        self._lock = FileLock(self.folder / "leases.lock", timeout=_LOCK_S)

    def marker(self, server_id: str = "") -> str:
        """What the marker variable of a server's processes begins with; without an id: that of all servers here."""
        return f"{self.folder}/{server_id}"

    @contextmanager
    def change(self) -> Iterator[LeaseState]:
        """The state, to look at or to change while no other process can; what is changed is kept.

        Whoever died is struck off the holders. Raises `ServerFault` where another process keeps the lock.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise ServerFault(f"{self._lock.lock_file} was locked by another process for {_LOCK_S:g} s") from None
        try:
            state = self._read()
            before = msgspec.json.encode(state)
            for server in state.servers:
                server.holders = [holder for holder in server.holders if holder.process.lives]
            yield state
            after = msgspec.json.encode(state)
            if after != before:
                self._write(after)
        finally:
            self._lock.release()

    def _read(self) -> LeaseState:
        """The file's state; an empty one where there is none, of another start of the machine, or of another form."""
        boot = _BOOT.read_text().strip()
        try:
            state = msgspec.json.decode(self._file.read_bytes(), type=LeaseState)
        except (FileNotFoundError, msgspec.DecodeError):
            return LeaseState(boot)
        return state if state.boot == boot else LeaseState(boot)

    def _write(self, data: bytes) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(data)
        new.replace(self._file)


def lease_folder() -> Path:
    """Where the leases of this user on this machine are.

    Not in XDG_RUNTIME_DIR, which goes with the last login session, nor in TMPDIR, which two shells may have different.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen).resolve() if chosen else Path("/tmp") / f"proctor-{os.getuid()}"  # noqa: S108 - see `_secure`


def lease_file(folder: Path | None = None) -> Path:
    """The file of leases in that folder, by default the one of this user."""
    return (folder or lease_folder()) / "leases.json"


def new_id() -> str:
    """An id for a server or a holder."""
    return uuid.uuid4().hex


def new_holder() -> Holder:
    """A new use, by this process."""
    return Holder(myself(), new_id())


def _secure(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ServerFault(
            f"{folder} must be a folder that only user {os.getuid()} can write to; remove it, or set {FOLDER_VARIABLE}"
        )
