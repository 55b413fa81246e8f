"""Decides what follows when a pytest session of a part has ended. It has no effects."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from harness.launch.files import PartState

MOST_IDLE = 3
"""How many jobs in a row may end at their time limit without a finished case."""

_MOST_CRASHES = 2
_COMPLETE = {0, 1, 5}
_TOLD_TO_END = {2, 129, 130, 143}
_INTERNAL_ERROR = 3
_STOPPED = {"cancel": "the run was cancelled", "stop": "the job was told to end (SIGTERM)"}


class SessionEnd(Struct, frozen=True, kw_only=True):
    """How a pytest session of a part ended.

    `status` is its exit status, negative for a signal. `begun` says whether the part has a run, and `left` how many of
    its sessions have no result. `too_late` of them did not begin because too little time was left. `told` says what
    ended the session from outside. `idle` counts the jobs in a row, with this one, that have not finished a case, and
    `crashes` the crashes in a row without a finished case between them.
    """

    status: int
    begun: bool
    left: int
    too_late: int = 0
    told: Literal["time", "stop", "cancel"] | None = None
    idle: int = 0
    crashes: int = 0
    said: str = ""


class Next(Struct, frozen=True):
    """What follows: the state of the part. `again` means another session in the same job."""

    state: PartState | Literal["again"]
    why: str = ""


def after(end: SessionEnd) -> Next:
    """Return what follows the end of a session."""
    if end.begun and not end.left:
        return Next("done")
    if end.told in _STOPPED:
        return Next("stopped", _STOPPED[end.told])
    if end.told == "time" or (end.too_late and end.status in _COMPLETE):
        if end.idle < MOST_IDLE:
            return Next("continues", f"the time limit of the job: {end.left} cases are left")
        return Next("failed", f"{end.idle} jobs in a row reached their time limit and finished no case: raise --time")
    if end.status in _TOLD_TO_END:
        return Next("stopped", f"pytest was told to end (status {end.status})")
    return _crashed(end)


def _crashed(end: SessionEnd) -> Next:
    """Return what follows a session that ended as it should not. A crash is tried again."""
    said = f": {end.said}" if end.said else ""
    if end.status >= 0 and end.status != _INTERNAL_ERROR:
        return Next("failed", f"pytest ended with status {end.status} and left {end.left} cases{said}")
    how = f"signal {-end.status}" if end.status < 0 else "an internal error"
    if end.crashes < _MOST_CRASHES:
        return Next("again", f"pytest was ended by {how}")
    return Next("failed", f"pytest was ended by {how}, {end.crashes} times in a row{said}")
