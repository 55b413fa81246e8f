"""Reads the lines that `program` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import field

from backends import events as ev
from backends.reading.errors import request_failure
from backends.reading.lines import Count, LinePart, ObjectReader, OtherObject, other_events


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    if isinstance(read, (OtherObject, ev.Malformed)):
        return other_events(read, line)
    return tuple(_READINGS[type(read)](read))


class _DirectUsage(LinePart):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _Begun(LinePart, tag="direct.started"):
    model: str = ""


class _CompletionLine(LinePart, tag="direct.answer"):
    turn: str = ""
    model: str = ""
    text: str = ""
    thinking: str = ""
    usage: _DirectUsage | None = None
    lost: list[str] = field(default_factory=list)


class _NoAnswer(LinePart, tag="direct.failed"):
    message: str = ""
    status: int | None = None


class _LastLine(LinePart, tag="direct.finished"):
    reason: str = ""


_DirectLine = _Begun | _CompletionLine | _NoAnswer | _LastLine | OtherObject
_READER: ObjectReader[_DirectLine] = ObjectReader(_DirectLine)

_CUT = {
    "output_limit": (ev.ErrorKind.OUTPUT_TOKENS, "the answer was cut by its output limit"),
    "context_limit": (ev.ErrorKind.CONTEXT_OVERFLOW, "the answer was cut by the model's context"),
    "refused": (ev.ErrorKind.REFUSED, "the model, or a content filter, refused the answer"),
}


def _begun(line: _Begun) -> Iterator[ev.Event]:
    yield ev.SessionStarted(model=line.model)


def _completion(line: _CompletionLine) -> Iterator[ev.Event]:
    yield ev.TurnStarted(turn=line.turn, whole=True)
    if line.thinking:
        yield ev.Thinking(turn=line.turn, text=line.thinking)
    if line.text:
        yield ev.Text(turn=line.turn, text=line.text)
    used = line.usage or _DirectUsage()
    usage = ev.Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_tokens=used.cache_write_tokens,
    )
    yield ev.TurnFinished(turn=line.turn, usage=usage, model=line.model)


def _no_answer(line: _NoAnswer) -> tuple[ev.Event, ...]:
    return request_failure(line.message, line.status)


def _last_line(line: _LastLine) -> Iterator[ev.Event]:
    """Yield how the session went. An answer that was cut or refused decides only if no other one is whole."""
    if line.reason in _CUT:
        yield ev.Error(kind=_CUT[line.reason][0], message=_CUT[line.reason][1])
    yield ev.SessionFinished(reason=line.reason)


_READINGS: dict[type, Callable[[Any], Iterable[ev.Event]]] = {
    _Begun: _begun,
    _CompletionLine: _completion,
    _NoAnswer: _no_answer,
    _LastLine: _last_line,
}
