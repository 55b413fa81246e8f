"""The processes of a model server: who of them lives, whatever became of their parents, and how they are ended.

A server's processes carry a marker variable, which a child inherits and keeps when it is orphaned (proc(5), `environ`).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

MARKER = "PROCTOR_SERVER"
"""The variable that holds the server's id, and the folder of the leases that know it."""

_PROC = Path("/proc")
_PAUSE_S = 0.02
_KILL_S = 20.0


class Process(Struct, frozen=True):
    """A process, told apart from a later one of the same pid by when it started (clock ticks since boot)."""

    pid: int
    started: int

    @property
    def lives(self) -> bool:
        """Whether it runs still; one that is dead but not yet buried by its parent does not."""
        seen = _look(self.pid)
        return seen is not None and seen.started == self.started and not seen.dead


class _Seen(Struct, frozen=True):
    pid: int
    parent: int
    session: int
    started: int
    dead: bool


def process(pid: int) -> Process | None:
    """The process of that pid; none if there is none."""
    seen = _look(pid)
    return Process(pid, seen.started) if seen else None


def myself() -> Process:
    """This process."""
    found = process(os.getpid())
    if found is None:
        raise RuntimeError("/proc does not show this process")
    return found


def marked(marker: str) -> dict[int, str]:
    """The marks, by process id, of all processes whose mark begins with this text."""
    marks = ((seen.pid, _mark(seen.pid)) for seen in _all())
    return {pid: mark for pid, mark in marks if mark is not None and mark.startswith(marker)}


def family(leader: Process | None, marker: str) -> set[int]:
    """The living processes of a server: those that bear its marker, its session's, and all that descend from these.

    A member of the session of a leader that is gone counts only if it has overwritten its environment, as a program
    that sets its own title does; any other without the marker is a stranger whose session has taken the same number.
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


def end(leader: Process | None, marker: str, grace_s: float) -> set[int]:
    """End a server: SIGTERM to its first process, time to end its own, then SIGKILL to what is left of the family.

    Returns those that even that did not end in 20 s (a process that hangs in a driver).
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
    """This user's processes that are not dead."""
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and _is_mine(entry)]
    return [seen for seen in map(_look, pids) if seen is not None and not seen.dead]


def _is_mine(entry: Path) -> bool:
    try:
        return entry.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _look(pid: int) -> _Seen | None:
    """What /proc/PID/stat says (proc(5)); the name in it, in brackets, may hold anything."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    state, parent, _group, session = fields[:4]
    return _Seen(pid, int(parent), int(session), int(fields[19]), dead=state in "ZX")


def _environment(pid: int) -> list[bytes]:
    """The variables it was started with; none where they cannot be read."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _mark(pid: int) -> str | None:
    """The value of the marker variable."""
    name = os.fsencode(f"{MARKER}=")
    found = (variable for variable in _environment(pid) if variable.startswith(name))
    return next((os.fsdecode(variable.removeprefix(name)) for variable in found), None)


def _is_illegible(pid: int) -> bool:
    return not any(variable.startswith((b"PATH=", b"HOME=")) for variable in _environment(pid))
