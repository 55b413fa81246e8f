"""Folds the events of a stream into a thread of turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct, field

from backends import events as ev
from backends.session import Session
from harness.transcript.changes import file_changes
from harness.transcript.turns import Notice, Result, Said, Thread, ToolUse, Turn

TEXT_CAP = 200_000
"""How many characters of one text are kept. The stream has the rest."""
ENTRIES_CAP = 20_000
"""How many turns and notices of one thread are kept."""
_SHOWN = 300
"""How many characters of a notice about an unknown or malformed line are kept."""


class _OpenCall(Struct):
    """A call while its result may still come. `started` means that it has a subagent."""

    event: ev.ToolCall
    result: Result | None = None
    denied: str | None = None
    started: bool = False
    thread: _OpenThread | None = None


class _OpenTurn(Struct):
    turn: str
    parts: list[Said | _OpenCall] = field(default_factory=list)
    number: int | None = None
    finished: ev.TurnFinished | None = None


class _OpenThread(Struct):
    entries: list[_OpenTurn | Notice] = field(default_factory=list)
    left_out: int = 0

    def add(self, entry: _OpenTurn | Notice) -> None:
        """Add an entry, or count it if there are too many."""
        if len(self.entries) < ENTRIES_CAP:
            self.entries.append(entry)
        else:
            self.left_out += 1

    def remove(self, turn: _OpenTurn) -> None:
        """Remove a turn, which is one of the last entries."""
        for index in range(len(self.entries) - 1, -1, -1):
            if self.entries[index] is turn:
                del self.entries[index]
                return


class TranscribedSession(Session):
    """A session that also keeps what was said. Its memory grows with the stream.

    `Session` decides what is another turn and what is another call, so transcript and counts always agree. Pass it to a
    `StreamReader`, and take `thread` when the stream has ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self._main = _OpenThread()
        self._by_parent: dict[str, _OpenThread] = {}
        self._pending: dict[str, _OpenTurn] = {}
        self._closed: dict[str, _OpenTurn] = {}
        self._open_calls: dict[str, _OpenCall] = {}
        self._parent: str | None = None

    @property
    def thread(self) -> Thread:
        """The main agent's thread. Those of its subagents hang on the calls that started them."""
        return _thread(self._main)

    def add_line(
        self,
        events: Iterable[ev.Event],
        offset: int | None = None,
        length: int | None = None,
        at: float | None = None,
    ) -> None:
        """See `Session.add_line`."""
        for event in events:
            turns, calls = self.turns, self.tool_calls
            super().add_line((event,), offset, length, at)
            if isinstance(event, ev.TurnFinished):
                self._finish(event, another=self.turns > turns)
            elif isinstance(event, ev.ToolCall):
                if self.tool_calls > calls:
                    self._call(event)
            elif isinstance(event, ev.ToolResult):
                self._result(event, another=self.tool_calls > calls)
            elif note := _NOTES.get(type(event)):
                note(self, event)

    def _place(self, parent: str | None) -> _OpenThread:
        """Return the thread of the agent that speaks."""
        if parent is None:
            return self._main
        if parent not in self._by_parent:
            thread = self._by_parent[parent] = _OpenThread()
            if starter := self._open_calls.get(parent):
                starter.thread = thread
            else:  # its call is not shown
                self._call(ev.ToolCall(turn="", call_id=parent, name="subagent"))
                self._open_calls[parent].thread = thread
        return self._by_parent[parent]

    def _open(self, turn: str, parent: str | None) -> _OpenTurn:
        if turn not in self._pending:
            made = self._pending[turn] = _OpenTurn(turn)
            self._place(parent).add(made)
        return self._pending[turn]

    def _began(self, event: ev.TurnStarted) -> None:
        self._parent = event.parent
        if event.whole:
            self._pending.pop(event.turn, None)

    def _spoke(self, event: ev.Text | ev.Thinking) -> None:
        text, left_out = _cut(event.text)
        said = Said(text=text, thinking=isinstance(event, ev.Thinking), left_out=left_out)
        parts = self._open(event.turn, event.parent).parts
        last = parts[-1] if parts and isinstance(event, ev.Text) and event.piece else None
        if isinstance(last, Said) and not last.thinking:
            parts[-1] = _joined(last, event.text)
        else:
            parts.append(said)

    def _call(self, event: ev.ToolCall) -> None:
        call = self._open_calls[event.call_id] = _OpenCall(event)
        self._open(event.turn, event.parent).parts.append(call)

    def _result(self, event: ev.ToolResult, *, another: bool) -> None:
        if another:  # the call shows by its result alone
            self._call(ev.ToolCall(turn="", call_id=event.call_id, name=event.name))
        if call := self._open_calls.get(event.call_id):
            output, left_out = _cut(event.output)
            call.result = Result(output=output, is_error=event.is_error, seconds=event.seconds, left_out=left_out)

    def _finish(self, event: ev.TurnFinished, *, another: bool) -> None:
        """Close the open turn of this id, or add its parts to the closed one that it goes on with."""
        pending = self._pending.pop(event.turn, None)
        earlier = self._closed.get(event.turn)
        if another or earlier is None:
            if pending is None:
                pending = _OpenTurn(event.turn)
                self._place(self._parent).add(pending)
            pending.number, pending.finished = self.turns, event
            self._closed[event.turn] = pending
            return
        earlier.finished = _greatest(earlier.finished, event)
        if pending is not None:
            earlier.parts += pending.parts
            self._place(self._parent).remove(pending)

    def _subagent_began(self, event: ev.SubagentStarted) -> None:
        if call := self._open_calls.get(event.call_id):
            call.started = True

    def _was_denied(self, event: ev.PermissionDenied) -> None:
        if call := self._open_calls.get(event.call_id):
            call.denied = event.reason or "the CLI's permissions forbid it"
        elif not event.call_id:
            self._note("error", f"{event.tool} was denied: {event.reason}" if event.reason else f"{event.tool} denied")

    def _note(self, kind: str, text: str) -> None:
        self._main.add(Notice(kind=kind, text=_cut(text)[0]))

    def _started(self, event: ev.SessionStarted) -> None:
        parts = (f"version {event.cli_version}" if event.cli_version else "", f"session {event.session_id}")
        self._note("started", ", ".join(filter(None, parts)))

    def _retried(self, event: ev.Retry) -> None:
        status = f"status {event.status}: " if event.status else ""
        self._note("retry", f"attempt {event.attempt}: {status}{event.error}")

    def _compacted(self, event: ev.Compaction) -> None:
        before = f"{event.tokens:,} tokens before" if event.tokens else ""
        self._note("compaction", ", ".join(filter(None, (event.trigger, before))))

    def _mcp(self, event: ev.McpStatus) -> None:
        self._note("mcp", f"{event.server}: {event.status}")

    def _limited(self, event: ev.RateLimit) -> None:
        self._note("rate_limit", event.message if event.resets_at is None else f"until {event.resets_at}")

    def _failed(self, event: ev.Error) -> None:
        status = f" ({event.status})" if event.status else ""
        self._note("error", f"{event.kind.value}{status}: {event.message}")

    def _finished(self, event: ev.SessionFinished) -> None:
        self._note("ended", event.reason)

    def _not_known(self, event: ev.Unknown | ev.Malformed) -> None:
        if isinstance(event, ev.Unknown):
            self._note("unknown", f"{event.kind}: {event.sample}"[:_SHOWN])
        else:
            self._note("malformed", f"{event.reason}: {event.sample}"[:_SHOWN])


def transcribe(events: Iterable[ev.Event]) -> Thread:
    """Return the thread that consists of these events."""
    session = TranscribedSession()
    for event in events:
        session.add(event)
    return session.thread


_NOTES: dict[type, Callable[[TranscribedSession, Any], None]] = {
    ev.SessionStarted: TranscribedSession._started,
    ev.TurnStarted: TranscribedSession._began,
    ev.Text: TranscribedSession._spoke,
    ev.Thinking: TranscribedSession._spoke,
    ev.SubagentStarted: TranscribedSession._subagent_began,
    ev.PermissionDenied: TranscribedSession._was_denied,
    ev.Retry: TranscribedSession._retried,
    ev.Compaction: TranscribedSession._compacted,
    ev.McpStatus: TranscribedSession._mcp,
    ev.RateLimit: TranscribedSession._limited,
    ev.Error: TranscribedSession._failed,
    ev.SessionFinished: TranscribedSession._finished,
    ev.Unknown: TranscribedSession._not_known,
    ev.Malformed: TranscribedSession._not_known,
}


def _thread(thread: _OpenThread) -> Thread:
    entries = tuple(entry if isinstance(entry, Notice) else _turn(entry) for entry in thread.entries)
    return Thread(entries=entries, left_out=thread.left_out)


def _turn(turn: _OpenTurn) -> Turn:
    finished = turn.finished or ev.TurnFinished(turn=turn.turn)
    return Turn(
        number=turn.number,
        parts=tuple(_closed_call(part) if isinstance(part, _OpenCall) else part for part in turn.parts),
        model=finished.model,
        stop_reason=finished.stop_reason and finished.stop_reason.value,
        usage=finished.usage,
        cost_usd=finished.cost_usd,
    )


def _closed_call(call: _OpenCall) -> ToolUse:
    name, arguments = call.event.name, call.event.arguments
    subagent = _thread(call.thread) if call.thread else Thread() if call.started else None
    return ToolUse(
        call_id=call.event.call_id,
        name=name,
        arguments=arguments,
        result=call.result,
        denied=call.denied,
        changes=file_changes(name, arguments),
        subagent=subagent,
    )


def _greatest(known: ev.TurnFinished | None, event: ev.TurnFinished) -> ev.TurnFinished:
    if known is None:
        return event
    costs = [usd for usd in (known.cost_usd, event.cost_usd) if usd is not None]
    return ev.TurnFinished(
        turn=event.turn,
        usage=known.usage.most(event.usage),
        stop_reason=event.stop_reason or known.stop_reason,
        cost_usd=max(costs, default=None),
        model=known.model or event.model,
    )


def _joined(said: Said, piece: str) -> Said:
    text, left_out = _cut(said.text + piece) if not said.left_out else (said.text, len(piece))
    return Said(text=text, left_out=said.left_out + left_out)


def _cut(text: str) -> tuple[str, int]:
    return text[:TEXT_CAP], max(0, len(text) - TEXT_CAP)
