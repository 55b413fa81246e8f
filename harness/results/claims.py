"""Which process writes a run. Only one may, and it says so in a file in the run's folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.malformed import MALFORMED

RUNNING = "running.json"
"""The file that names the process which writes the run. It is removed when the run ends, and stays if it is killed."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF})
_TRIES = 25
_PAUSE_S = 0.02


class RunWriterProcess(Struct, frozen=True):
    """The process that writes a run.

    `started` is its start in clock ticks since boot, and `boot` names the start of the machine. Together they tell the
    process from a later one with the same `pid`. `since` is when it began to write: UTC, ISO 8601.
    """

    pid: int
    started: int
    boot: str
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, which began at {self.since}"

    @property
    def may_live(self) -> bool:
        """Whether the process still runs. On another machine, nothing is known of it, so it may."""
        if self.host != socket.gethostname():
            return True
        return self.boot == _boot() and self.started == _started(self.pid)


class RunBusyError(OSError):
    """Another process writes the run. The message names the process."""


def claim(run: Path) -> int:
    """Mark the run as written by this process, for as long as it lives. Return a descriptor for `release`.

    Raise `RunBusyError` if another process writes the run, and `OSError` if the folder cannot be written.
    """
    for left in reversed(range(_TRIES)):
        descriptor = os.open(run / RUNNING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        held = _held_by(descriptor, fcntl.LOCK_EX)
        if held is None and os.fstat(descriptor).st_nlink:  # otherwise the last writer has just removed it
            break
        os.close(descriptor)
        if held is not None and (not left or (isinstance(held, RunWriterProcess) and held.may_live)):
            raise RunBusyError(_busy(run, held))
        time.sleep(_PAUSE_S)  # someone only looks whether the run is written
    me = RunWriterProcess(
        pid=os.getpid(),
        started=_started(os.getpid()) or 0,
        boot=_boot(),
        host=socket.gethostname(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(me) + b"\n", 0)
    return descriptor


def release(run: Path, descriptor: int) -> None:
    """Mark the run as not written any more."""
    with suppress(OSError):  # the folder was removed, or became read-only
        (run / RUNNING).unlink(missing_ok=True)
    os.close(descriptor)


def busy(run: Path) -> str | None:
    """Return which process writes the run or, if `proctor launch` made it, a part of it. Return `None` if none does."""
    parts = (one.parent for one in run.glob(f"parts/*/*/{RUNNING}") if not one.parent.is_symlink())
    return next((found for one in (run, *parts) if (found := _busy_itself(one)) is not None), None)


def claimed_elsewhere(run: Path) -> bool:
    """Return whether the process that writes the run, or has not ended its claim, is one of another machine."""
    try:
        named = msgspec.json.decode((run / RUNNING).read_bytes(), type=RunWriterProcess)
    except (OSError, *MALFORMED):
        return False
    return named.host != socket.gethostname()


def _busy_itself(run: Path) -> str | None:
    try:
        descriptor = _opened(run / RUNNING)
    except OSError:  # it was never begun, or has ended
        return None
    try:
        held = _held_by(descriptor, fcntl.LOCK_SH)  # two that look are not in each other's way
    finally:
        os.close(descriptor)
    return None if held is None else _busy(run, held)


def is_running(run: Path) -> bool:
    """Return whether the process that writes this run is alive."""
    return busy(run) is not None


def _opened(path: Path) -> int:
    """Return a descriptor of the file. Network file systems lock only files that are open for writing."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _held_by(descriptor: int, how: int) -> RunWriterProcess | str | None:
    """Lock the file. Return the process that has locked it, or its contents if they name none, or `None`.

    On a file system without locks, the process that the file names holds it for as long as it lives.
    """
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        named = _named(descriptor)
        if error.errno not in _NO_LOCKS:
            return named or "another process"
        return named if named is not None and named.may_live and named.pid != os.getpid() else None
    return None


def _named(descriptor: int) -> RunWriterProcess | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 1 << 16, 0), type=RunWriterProcess)
    except MALFORMED:  # the process is just writing it
        return None


def _busy(run: Path, held: RunWriterProcess | str) -> str:
    elsewhere = isinstance(held, RunWriterProcess) and held.host != socket.gethostname()
    hint = f"; if it has ended there, remove {run / RUNNING}" if elsewhere else ""
    return f"{run} is being written by {held}{hint}"


def _started(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot, or `None` if there is none, or only a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in {"Z", "X"} else int(fields[18])


def _boot() -> str:
    return _BOOT.read_text().strip()
