"""Says when everything in a case happened, as far as ledger and record tell. Times are nanoseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from harness.exports.cases import ExportedCase
from harness.report.table import seconds
from harness.results.record import Attempt
from harness.results.run_folder import time_of
from harness.transcript.turns import Notice, Said, Thread, ToolUse, Transcript, Turn

_SECOND = 1_000_000_000


class TimedCall(Struct, frozen=True, kw_only=True):
    """A tool call. If it is not `known` how long it took, it lasts to the next request, or no time at all."""

    call: ToolUse
    start: int
    end: int
    known: bool
    subagent: TimedThread | None = None


class TimedTurn(Struct, frozen=True, kw_only=True):
    """A turn. If its time is not `known`, it takes no time, and stands at the end of what came before."""

    turn: Turn
    start: int
    end: int
    known: bool
    parts: tuple[Said | TimedCall, ...]

    @property
    def calls(self) -> tuple[TimedCall, ...]:
        """The tool calls."""
        return tuple(part for part in self.parts if isinstance(part, TimedCall))


class TimedNotice(Struct, frozen=True, kw_only=True):
    """Something that happened between turns, at the end of what came before."""

    notice: Notice
    at: int


class TimedThread(Struct, frozen=True, kw_only=True):
    """The turns and notices of the agent, or of one subagent, in order."""

    entries: tuple[TimedTurn | TimedNotice, ...]
    start: int
    end: int

    @property
    def turns(self) -> tuple[TimedTurn, ...]:
        """The turns alone."""
        return tuple(entry for entry in self.entries if isinstance(entry, TimedTurn))


class TimedAttempt(Struct, frozen=True, kw_only=True):
    """An attempt. `attempt` is what the record says of it, or `None` if the run was killed before."""

    transcript: Transcript
    attempt: Attempt | None
    thread: TimedThread
    start: int
    end: int


class TimedCase(Struct, frozen=True, kw_only=True):
    """A case from its beginning to its end, with the attempts that have a transcript."""

    case: ExportedCase
    attempts: tuple[TimedAttempt, ...]
    start: int
    end: int


def timed_case(case: ExportedCase) -> TimedCase:
    """Return when everything in a case happened.

    A case without a time begins when its run did, or else with its first request to a model, or else in 1970.
    """
    told = _time(case.record.started_at) or _run_began(case.run) or _first_request(case)
    cursor, attempts = told, list[TimedAttempt]()
    for transcript in case.transcripts:
        attempts.append(_attempt(transcript, case.record.attempts, cursor))
        cursor = attempts[-1].end
    took = seconds(case.record)
    return TimedCase(
        case=case,
        attempts=tuple(attempts),
        start=min([told, *(one.start for one in attempts)]),
        end=max(cursor, told if took is None else told + _length(took)),
    )


def iso(at: int) -> str:
    """Return a time as ISO 8601 in UTC, to the microsecond."""
    whole, rest = divmod(at, _SECOND)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest // 1000).isoformat(timespec="microseconds")


def _run_began(run: str) -> int | None:
    began = time_of(run)
    return None if began is None else _nanoseconds(began)


def _first_request(case: ExportedCase) -> int:
    asked = (_asked(turn) for transcript in case.transcripts for turn in transcript.thread.turns)
    return min((at for at in asked if at is not None), default=0)


def _attempt(transcript: Transcript, attempts: list[Attempt], cursor: int) -> TimedAttempt:
    told = attempts[transcript.attempt - 1] if transcript.attempt <= len(attempts) else None
    thread = _timed(transcript.thread, cursor + _length(told.waited_s + told.setup_s if told else 0.0))
    end = thread.end if told is None else max(thread.end, thread.start + _length(told.seconds))
    return TimedAttempt(transcript=transcript, attempt=told, thread=thread, start=thread.start, end=end)


def _timed(thread: Thread, cursor: int) -> TimedThread:
    entries: list[TimedTurn | TimedNotice] = []
    start = cursor = min([cursor, *(at for turn in thread.turns[:1] if (at := _asked(turn)) is not None)])
    for entry in thread.entries:
        if isinstance(entry, Notice):
            entries.append(TimedNotice(notice=entry, at=cursor))
        else:
            entries.append(turn := _turn(entry, cursor))
            cursor = max([cursor, turn.end, *(call.end for call in turn.calls)])
    return TimedThread(entries=tuple(entries), start=start, end=cursor)


def _turn(turn: Turn, cursor: int) -> TimedTurn:
    start, end, until = cursor, cursor, cursor
    asked = _asked(turn)
    if turn.metered and asked is not None:
        start, end = asked, asked + _length(turn.metered.model_s)
        until = end + _length(turn.metered.after_s or 0.0)
    parts = tuple(part if isinstance(part, Said) else _call(part, end, until) for part in turn.parts)
    return TimedTurn(turn=turn, start=start, end=end, known=asked is not None, parts=parts)


def _call(call: ToolUse, start: int, until: int) -> TimedCall:
    subagent = _timed(call.subagent, start) if call.subagent else None
    took = call.result.seconds if call.result else None
    end = until if took is None else start + _length(took)
    if subagent and subagent.entries:
        end = max(subagent.end, start if took is None else end)
    return TimedCall(call=call, start=start, end=end, known=took is not None, subagent=subagent)


def _asked(turn: Turn) -> int | None:
    return _time(turn.metered.at) if turn.metered else None


def _time(text: str | None) -> int | None:
    """Return the time that a record or a ledger tells, or `None` if it is not a time with its zone."""
    try:
        found = datetime.fromisoformat(text or "")
        return _nanoseconds(found) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _nanoseconds(time: datetime) -> int:
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return max(0, (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds * 1000)


def _length(seconds_long: float) -> int:
    """Return a length of time in nanoseconds. A length that cannot be is none, and none is longer than ten years."""
    return int(min(max(0.0, seconds_long), 3e8) * _SECOND)
