"""Decides when a session has exceeded a limit, or hangs. The functions are pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from backends.events import ErrorKind
from backends.reading.errors import error_kind
from backends.session import Session
from harness.case import Limits
from harness.endings import Ending
from harness.gateway.ledger import Metered, RequestFailure, Waiting
from harness.sandbox.base import Resources

MB = 1e6

_FAILED = {
    ErrorKind.AUTH: Ending.AUTH_FAILED,
    ErrorKind.RATE_LIMIT: Ending.RATE_LIMITED,
    ErrorKind.CONTEXT_OVERFLOW: Ending.CONTEXT_OVERFLOW,
    ErrorKind.MODEL_UNREACHABLE: Ending.MODEL_UNREACHABLE,
    ErrorKind.MODEL_REFUSED_TOOLS: Ending.MODEL_REFUSED_TOOLS,
    ErrorKind.REFUSED: Ending.REFUSED,
    ErrorKind.MALFORMED_TOOL_CALL: Ending.MALFORMED_TOOL_CALL,
}
"""The reasons for which a model request may fail. Any other reason is an error of the model."""


class Stop(NamedTuple):
    """The ending for which the harness stops a session, and one line that explains it."""

    ending: Ending
    explanation: str


class Traffic(Protocol):
    """What the gateway knows about a running session. Times are in seconds of `time.monotonic`."""

    @property
    def passed(self) -> str | None:
        """The limit that a model request of the case has reached, by the name of its ending, or None."""

    @property
    def last_activity(self) -> float:
        """The time of the last model traffic."""

    @property
    def waiting(self) -> Sequence[Waiting]:
        """The model requests that are being answered."""

    @property
    def failures(self) -> int:
        """The number of turns that failed in a row, up to the latest turn."""

    @property
    def last_failure(self) -> RequestFailure | None:
        """The latest failure, or None."""

    def metered(self) -> Metered:
        """Return the totals so far."""

    def explain(self, limit: str) -> str:
        """Return a sentence about a limit that the case has reached: how much it has used, and how much is allowed."""

    def end(self, why: str) -> None:
        """Refuse every further request."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """A session at one moment. All times are in seconds of one steady clock."""

    now: float
    began: float
    last_output: float
    output_bytes: int = 0
    resources: Resources = Resources()


def spent(limits: Limits, traffic: Traffic, snapshot: Snapshot) -> Stop | None:
    """Return the first limit on resources that a session has exceeded, or None."""
    passed = traffic.passed
    if passed is not None:
        return Stop(Ending(passed), traffic.explain(passed))
    if snapshot.resources.out_of_memory:
        bound = "" if limits.memory_mb is None else f"; {limits.memory_mb:g} MB of memory are allowed"
        return Stop(Ending.MEMORY_LIMIT, f"the kernel killed a process at the limit{bound}")
    for ending, used, allowed, what in _used(limits, snapshot):
        if allowed is not None and used > allowed:
            return Stop(ending, f"{used:.4g} {what}; {allowed:g} are allowed")
    return None


def hangs(limits: Limits, traffic: Traffic, session: Session, snapshot: Snapshot) -> Stop | None:
    """Return the first sign that a session takes too long or hangs, or None."""
    return next(_signs(limits, traffic, session, snapshot), None)


def _signs(limits: Limits, traffic: Traffic, session: Session, snapshot: Snapshot) -> Iterator[Stop]:
    if snapshot.now - snapshot.began >= limits.wall_s:
        yield Stop(Ending.WALL_LIMIT, f"not finished after {limits.wall_s:g} seconds")
    failure = traffic.last_failure if traffic.failures else None
    if failure and failure.unreachable:  # each CLI tries again in its own way and time, for minutes
        yield failed(failure, "a model request failed")
    if failure and traffic.failures >= limits.failed_requests:
        yield failed(failure, f"{traffic.failures} model requests in a row failed")
    if failure and (failure.retry_after_s or 0.0) >= limits.idle_s:
        yield failed(failure, f"the CLI would wait {failure.retry_after_s:.0f} seconds before it tries again")
    waiting = traffic.waiting
    for request in waiting:
        allowed = limits.stalled_s if request.begun else limits.first_byte_s
        if snapshot.now - request.since >= allowed:
            what = "has stopped" if request.begun else "has not begun"
            yield Stop(Ending.STALLED, f"the model's answer {what}: no byte for {allowed:g} seconds")
    silent_s = 0.0 if waiting else snapshot.now - max(snapshot.began, snapshot.last_output, traffic.last_activity)
    if silent_s >= limits.idle_s:
        idle = f"no sign of life for {limits.idle_s:g} seconds"
        yield failed(failure, f"{idle} after a failed model request") if failure else Stop(Ending.IDLE_LIMIT, idle)
    if session.empty_turns >= limits.empty_turns:
        yield Stop(Ending.EMPTY_STEPS, f"the last {session.empty_turns} responses were empty")
    if session.compactions_in_a_row >= limits.compactions:
        said = f"the CLI compacted {session.compactions_in_a_row} times in a row without a tool call in between"
        yield Stop(Ending.ENDLESS_COMPACTION, said)
    if session.finished and silent_s >= limits.after_final_s:
        yield Stop(Ending.HUNG_AFTER_FINAL, f"still running {limits.after_final_s:g} seconds after its last message")


def _used(limits: Limits, snapshot: Snapshot) -> Iterator[tuple[Ending, float, float | None, str]]:
    """Yield each limit on the machine: its ending, what is used, what is allowed, and the unit."""
    box = snapshot.resources
    yield Ending.OUTPUT_LIMIT, snapshot.output_bytes / MB, limits.output_mb, "MB of output"
    yield Ending.MEMORY_LIMIT, box.memory_bytes / MB, limits.memory_mb, "MB of memory in use"
    yield Ending.PROCESS_LIMIT, box.processes, limits.processes, "processes"
    yield Ending.DISK_LIMIT, box.disk_bytes / MB, limits.disk_mb, "MB on disk"


def failed(failure: RequestFailure, what: str) -> Stop:
    """What a failed model request makes of the session that it ends."""
    if failure.unreachable:
        return Stop(Ending.MODEL_UNREACHABLE, failure.message)
    kind = error_kind(failure.message, failure.status, resets=failure.retry_after_s is not None)
    ending = _FAILED.get(kind, Ending.MODEL_ERROR)
    return Stop(ending, f"{what}; the last one: {_said(failure)}")


def _said(failure: RequestFailure) -> str:
    status = f"{failure.status} " if failure.status and failure.status >= 400 else ""
    return status + " ".join(failure.message.split())[:200]
