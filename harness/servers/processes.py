"""Finds and stops all processes of a model server, even orphans.

They have a marker variable in their environment. A child inherits it, and keeps it when its parent dies.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

MARKER = "PROCTOR_SERVER"
"""The marker variable. Its value is the folder of the leases, then `/` and the server's id."""

_PROC = Path("/proc")
_PAUSE_S = 0.02
_KILL_S = 20.0


class Process(Struct, frozen=True):
    """A process. `started`, in clock ticks since boot, distinguishes it from a later process with the same pid."""

    pid: int
    started: int

    @property
    def lives(self) -> bool:
        """Whether the process still runs. A zombie does not."""
        seen = _look(self.pid)
        return seen is not None and seen.started == self.started and not seen.dead


class _Seen(Struct, frozen=True):
    pid: int
    parent: int
    session: int
    started: int
    dead: bool


def process(pid: int) -> Process | None:
    """Return the process of that pid, or `None`."""
    seen = _look(pid)
    return Process(pid, seen.started) if seen else None


def myself() -> Process:
    """Return this process."""
    found = process(os.getpid())
    if found is None:
        raise RuntimeError("/proc does not show this process")
    return found


def marked(marker: str) -> dict[int, str]:
    """Return the marks that begin with `marker`, by the ids of their processes."""
    marks = ((seen.pid, _mark(seen.pid)) for seen in _all())
    return {pid: mark for pid, mark in marks if mark is not None and mark.startswith(marker)}


def family(leader: Process | None, marker: str) -> set[int]:
    """Return the living processes of a server: those with its mark, those in its session, and their descendants.

    After the session's leader has ended, another session may get its number. Then a process without the mark counts
    only if its environment cannot be read. This happens when a program overwrites it to set its own title.
    """
    everyone = _all()
    known = {seen.pid for seen in everyone if _mark(seen.pid) == marker}
    if leader is not None:
        leads = leader.lives
        known |= {
            seen.pid
            for seen in everyone
            if seen.session == leader.pid and seen.started >= leader.started and (leads or _is_illegible(seen.pid))
        }
    children: dict[int, list[int]] = {}
    for seen in everyone:
        children.setdefault(seen.parent, []).append(seen.pid)
    left = list(known)
    while left:
        new = set(children.get(left.pop(), ())) - known
        known |= new
        left += new
    return known - {os.getpid()}


def stop_family(leader: Process | None, marker: str, grace_s: float) -> set[int]:
    """Send SIGTERM to the first process of a server, wait `grace_s` seconds, and send SIGKILL to those that are left.

    Return the ids of processes that still live 20 s later. A process may hang in a driver.
    """
    if leader is not None and leader.lives:
        with suppress(ProcessLookupError):
            os.kill(leader.pid, signal.SIGTERM)
        graceful = time.monotonic() + grace_s
        while leader.lives and time.monotonic() < graceful:
            time.sleep(_PAUSE_S)
    deadline = time.monotonic() + _KILL_S
    while (left := family(leader, marker)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)
    return left


def _all() -> list[_Seen]:
    """Return this user's processes, without zombies."""
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and _is_mine(entry)]
    return [seen for seen in map(_look, pids) if seen is not None and not seen.dead]


def _is_mine(entry: Path) -> bool:
    try:
        return entry.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _look(pid: int) -> _Seen | None:
    """Read /proc/PID/stat (proc(5)). The name in it, in brackets, may contain anything."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    state, parent, _group, session = fields[:4]
    return _Seen(pid, int(parent), int(session), int(fields[19]), dead=state in "ZX")


def _environment(pid: int) -> list[bytes]:
    """Return the variables that a process was started with. The result is empty if they cannot be read."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _mark(pid: int) -> str | None:
    """Return the value of the marker variable, or `None`."""
    name = os.fsencode(f"{MARKER}=")
    found = (variable for variable in _environment(pid) if variable.startswith(name))
    return next((os.fsdecode(variable.removeprefix(name)) for variable in found), None)


def _is_illegible(pid: int) -> bool:
    return not any(variable.startswith((b"PATH=", b"HOME=")) for variable in _environment(pid))
