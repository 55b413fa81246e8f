"""Reads the trajectory of mini-swe-agent, as `program` prints it.

Measured with mini-swe-agent 2.4.6 and litellm 1.110.2:

- A message is litellm's: an assistant message has text, reasoning and calls, whose arguments are JSON in a text. The
  program adds the response's id, its model, its usage and its finish reason.
- `usage.prompt_tokens` includes tokens from the cache; `prompt_tokens_details` tells how many.
- A tool's message has the exit code of its command. It is -1 for a command that could not run or took too long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw, field

from backends import events as ev
from backends.reading.errors import request_failure
from backends.reading.lines import Count, LinePart, ObjectReader, OtherObject, call_arguments, other_events


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    if isinstance(read, (OtherObject, ev.Malformed)):
        return other_events(read, line)
    return tuple(_READINGS[type(read)](read))


class _MiniFunction(LinePart):
    name: str = ""
    arguments: str = ""


class _MiniCall(LinePart):
    id: str = ""
    function: _MiniFunction | None = None


class _PromptDetails(LinePart):
    cached_tokens: Count | None = None
    cache_creation_tokens: Count | None = None


class _AnswerDetails(LinePart):
    reasoning_tokens: Count | None = None


class _MiniUsage(LinePart):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _AnswerDetails | None = None


class _MiniMessage(LinePart):
    role: str = ""
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_MiniCall] | None = None
    tool_call_id: str = ""
    returncode: int | None = None
    exit_status: str = ""
    id: str = ""
    model: str = ""
    usage: _MiniUsage | None = None
    finish_reason: str | None = None


class _MiniStarted(LinePart, tag="mini.started"):
    version: str = ""
    model: str = ""


class _MessageAdded(LinePart, tag="mini.message"):
    message: _MiniMessage = field(default_factory=_MiniMessage)


class _MiniRetry(LinePart, tag="mini.retry"):
    attempt: Count = 0
    error: str = ""


class _GivenUp(LinePart, tag="mini.failed"):
    kind: str = ""
    message: str = ""
    status: int | None = None


_MiniLine = _MiniStarted | _MessageAdded | _MiniRetry | _GivenUp | OtherObject
_READER: ObjectReader[_MiniLine] = ObjectReader(_MiniLine)

_ENDS = {"Answered", "Submitted"}
"""How a session ends well. Any other end is told by `mini.failed`."""

_STOPS = {
    "length": (ev.StopReason.OUTPUT_LIMIT, ev.ErrorKind.OUTPUT_TOKENS, "the last response was cut by its output limit"),
    "content_filter": (ev.StopReason.REFUSED, ev.ErrorKind.REFUSED, "the model, or a content filter, refused"),
}


def _mini_started(line: _MiniStarted) -> Iterator[ev.Event]:
    yield ev.SessionStarted(model=line.model, cli_version=line.version)


def _message_added(line: _MessageAdded) -> Iterator[ev.Event]:
    message = line.message
    match message.role:
        case "assistant":
            yield from _response(message)
        case "tool":
            content = Raw(msgspec.json.encode(message.content or ""))
            yield ev.ToolResult(call_id=message.tool_call_id, content=content, is_error=message.returncode != 0)
        case "exit" if message.exit_status in _ENDS:
            yield ev.SessionFinished(reason=message.exit_status)


def _response(message: _MiniMessage) -> Iterator[ev.Event]:
    turn = message.id
    yield ev.TurnStarted(turn=turn, whole=True)
    if message.reasoning_content:
        yield ev.Thinking(turn=turn, text=message.reasoning_content)
    if message.content:
        yield ev.Text(turn=turn, text=message.content)
    for call in message.tool_calls or ():
        function = call.function or _MiniFunction()
        arguments = call_arguments(function.arguments)
        yield ev.ToolCall(turn=turn, call_id=call.id, name=function.name, arguments=arguments)
    stop, kind, told = _STOPS.get(message.finish_reason or "", (None, ev.ErrorKind.OTHER, ""))
    yield ev.TurnFinished(turn=turn, usage=_usage(message.usage), stop_reason=stop, model=message.model)
    if stop:
        yield ev.Error(kind=kind, message=told)


def _usage(used: _MiniUsage | None) -> ev.Usage:
    if used is None:
        return ev.Usage()
    prompt = used.prompt_tokens_details or _PromptDetails()
    answer = used.completion_tokens_details or _AnswerDetails()
    cached = (prompt.cached_tokens or 0) + (prompt.cache_creation_tokens or 0)
    return ev.Usage(
        input_tokens=None if used.prompt_tokens is None else max(0, used.prompt_tokens - cached),
        output_tokens=used.completion_tokens,
        cache_read_tokens=prompt.cached_tokens,
        cache_write_tokens=prompt.cache_creation_tokens,
        reasoning_tokens=answer.reasoning_tokens,
    )


def _mini_retry(line: _MiniRetry) -> Iterator[ev.Event]:
    yield ev.Retry(attempt=line.attempt, error=line.error[:4096])


def _given_up(line: _GivenUp) -> tuple[ev.Event, ...]:
    return request_failure(f"{line.kind}: {line.message}", line.status)


_READINGS: dict[type, Callable[[Any], Iterable[ev.Event]]] = {
    _MiniStarted: _mini_started,
    _MessageAdded: _message_added,
    _MiniRetry: _mini_retry,
    _GivenUp: _given_up,
}
