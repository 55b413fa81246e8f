"""The leases: which model servers run for this user on this machine, who uses them, and which GPUs they hold.

They are one file under one lock. Its folder outlives the login session, because a nightly run may do so. After a
restart of the machine, the file counts as empty. Each change is made under the lock, and the file is written whole.
Another version of Proctor may keep other facts about a server. Its file is left alone as long as it has servers.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct, field

from harness.malformed import MALFORMED
from harness.servers.base import Facts, ServerFault
from harness.servers.processes import Process, myself

FOLDER_VARIABLE = "PROCTOR_LEASES"
"""The variable that names a folder for the leases, instead of /tmp/proctor-UID."""

_TEMPORARY, _RUNTIME = Path("/tmp"), Path("/run/user")  # noqa: S108 - see `_is_ours`
_FURTHER_NAMES = range(2, 100)
_LOCK_S = 60.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Holder(Struct, frozen=True):
    """One use of a server by one process. The process may have died since."""

    process: Process
    id: str


class ServerFailure(Struct, frozen=True):
    """Why a server failed. `missing` says whether its users raise `ServerMissing` or `ServerFault`."""

    message: str
    missing: bool = False


class LeasedServer(Struct, kw_only=True):
    """A model server in the leases, and the `holders` that use it.

    `owner` is the holder that starts or stops the server now. `key` is the key of the need, then `#` and a digest of
    the configuration, so that servers with different configurations are not shared. `folder` is the server's own
    folder, in the run that started it. `gpus` are UUIDs. `free_mb` is the free memory of each before the start (MB: a
    million bytes). Proctor did not start a server without a `folder`: it has no process and no GPUs here, and is never
    stopped.
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
        """The key of the need that the server serves."""
        return self.key.partition("#")[0]

    @property
    def has_room(self) -> bool:
        """Whether one more holder may use the server."""
        return self.state in {"starting", "ready"} and len(self.holders) < self.parallel

    @property
    def abandoned(self) -> bool:
        """Whether no living process uses the server, or the one that was starting or stopping it is dead."""
        if self.state in {"starting", "stopping"}:
            return self.owner is None or not self.owner.process.lives
        return not any(holder.process.lives for holder in self.holders)


FORMAT = hashlib.sha256(msgspec.json.encode(msgspec.json.schema(LeasedServer))).hexdigest()[:12]
"""What a server in the file looks like, as a digest. It changes with each field."""


class LeaseState(Struct):
    """The contents of the file. `boot` identifies the start of the machine, and `format` the version that wrote it."""

    boot: str
    servers: list[LeasedServer] = field(default_factory=list)
    format: str = FORMAT

    def find(self, server_id: str) -> LeasedServer | None:
        """Return the server of that id, or `None` if it is gone."""
        return next((server for server in self.servers if server.id == server_id), None)

    def get(self, server_id: str) -> LeasedServer:
        """Return the server of that id. Raise `ServerFault` if it is gone."""
        server = self.find(server_id)
        if server is None:
            raise ServerFault("another process stopped the model server, or its lease was lost")
        return server

    def remove(self, server_id: str) -> None:
        """Remove a server from the leases."""
        self.servers = [server for server in self.servers if server.id != server_id]


class Leases:
    """The leases in `folder`, which is created if missing. Raise `ServerFault` if others can write to the folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or lease_folder()
        _secure(self.folder)
        self._file = lease_file(self.folder)
        self._lock = FileLock(self.folder / "leases.lock", timeout=_LOCK_S)

    def marker(self, server_id: str = "") -> str:
        """Return the mark of a server's processes. Without an id, return the beginning that all marks here share."""
        return f"{self.folder}/{server_id}"

    @contextmanager
    def change(self) -> Iterator[LeaseState]:
        """Yield the state to read or change under the lock, and save the changes.

        First, remove holders that have died. If the block raises, save nothing. Raise `ServerFault` if another process
        keeps the lock for a minute, or if another version of Proctor has servers in the file.
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
        """Return the state in the file. It is empty if the file is missing, broken, or from before a restart."""
        boot = _BOOT.read_text().strip()
        try:
            data = self._file.read_bytes()
            found = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except (FileNotFoundError, *MALFORMED):
            return LeaseState(boot)
        parts = {name: bytes(part) for name, part in found.items()}
        here = msgspec.json.encode(boot)
        if parts.get("boot", here) != here or parts.get("servers") in {b"[]", b"{}"}:
            return LeaseState(boot)
        with suppress(*MALFORMED):
            if parts.get("format") == msgspec.json.encode(FORMAT):
                return msgspec.json.decode(data, type=LeaseState)
        raise ServerFault(
            f"{self._file} was written by another version of Proctor, and its model servers may still run: wait until "
            f"the runs of that version have ended, or give this one a folder of its own ({FOLDER_VARIABLE}); if no "
            "such run is left, stop its servers and remove the file"
        )

    def _write(self, data: bytes) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(data)
        new.replace(self._file)


def lease_folder() -> Path:
    """Return the folder of this user's leases on this machine: /tmp/proctor-UID, or another one if that is taken.

    Anyone can make a folder of that name first. Then the leases are in /run/user/UID, or under another name in /tmp.
    All processes of a user find the same folder, because one that is theirs already comes before a new one.
    /run/user/UID is not the first choice, because it vanishes with the last login session. TMPDIR may differ between
    shells.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).resolve()
    usual = _TEMPORARY / f"proctor-{os.getuid()}"
    runtime = _RUNTIME / str(os.getuid())
    places = [usual, *([runtime / "proctor"] if _is_ours(runtime) else [])]
    places += [usual.with_name(f"{usual.name}.{number}") for number in _FURTHER_NAMES]
    ours = (place for place in places if _is_ours(place))
    free = (place for place in places if not os.path.lexists(place))
    return next(ours, None) or next(free, usual)


def lease_file(folder: Path | None = None) -> Path:
    """Return the file of the leases in `folder`, by default this user's."""
    return (folder or lease_folder()) / "leases.json"


def new_id() -> str:
    """Return a new id for a server or a holder."""
    return uuid.uuid4().hex


def new_holder() -> Holder:
    """Return a new holder in this process."""
    return Holder(myself(), new_id())


def _secure(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(folder):
        raise ServerFault(
            f"{folder} must be a folder that only user {os.getuid()} can write to: remove it, or set {FOLDER_VARIABLE}"
        )


def _is_ours(folder: Path) -> bool:
    """Return whether this is a folder, not a link to one, that belongs to this user and that no other can write to."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return found.st_uid == os.getuid() and not found.st_mode & 0o022
