"""Reads the stream of Cline, and its log on standard error.

Measured with Cline 3.0.65 and a scripted model server:

- An `agent_event` holds what an agent does: `iteration_start`, the pieces of the response (`content_start`), `usage`,
  then the response's tool calls (`content_start`) and their results (`content_end`), and `iteration_end`. No event says
  which agent it belongs to, so there must be only one.
- `usage` comes before the calls, and its `inputTokens` include cached tokens. An iteration has one response, but an
  empty response is repeated twice, and `usage` then counts all three. Reasoning is not told.
- A failed request is repeated five times without a sign in the stream.
- An `error` is final unless it is `recoverable`: then it tells again that a tool has failed. It tells no HTTP status.
- A failed tool has an `error`, `success: false` in one of its outputs, or, through MCP, `isError: true`.
- Only the log tells an MCP server that fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from backends import events as ev
from backends.reading.errors import error_events, error_kind
from backends.reading.lines import Amount, Count, LinePart, ObjectReader, OtherObject, other_events

SHELL = "run_commands"


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    event: Any = (read.event or OtherObject()) if isinstance(read, _AgentEvent) else read
    if isinstance(event, OtherObject) and event is not read:
        event = OtherObject(kind=f"agent_event/{event.kind}")
    if isinstance(event, (OtherObject, ev.Malformed)):
        return other_events(event, line, silent=_SILENT)
    return tuple(_READINGS[type(event)](event))


def read_stderr(text: str) -> tuple[ev.Event, ...]:
    """See `Backend.read_stderr`."""
    return tuple(ev.McpStatus(server=found[1], status="failed") for found in _MCP_FAILED.finditer(text))


class _IterationStart(LinePart, tag="iteration_start"): ...


class _IterationEnd(LinePart, tag="iteration_end"): ...


class _ClineUsage(LinePart, tag="usage", rename="camel"):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cost: Amount | None = None


class _ContentStart(LinePart, tag="content_start", rename="camel"):
    content_type: str = ""
    text: str = ""
    tool_name: str = ""
    tool_call_id: str = ""
    input: Any = None


class _ClineOutput(LinePart, rename="camel"):
    """One of the outputs of a tool. `content` holds the parts of one through MCP."""

    result: Any = None
    content: Raw | None = None
    error: str = ""
    success: bool = True
    is_error: bool = False


class _ContentUpdate(LinePart, tag="content_update"): ...


class _ContentEnd(LinePart, tag="content_end", rename="camel"):
    content_type: str = ""
    reasoning: str = ""
    tool_call_id: str = ""
    output: list[_ClineOutput] | _ClineOutput | None = None
    error: str = ""
    duration_ms: Amount | None = None


class _Recovery(LinePart, rename="camel"):
    kind: str = ""
    phase: str = ""
    attempt: Count = 0
    max_retries: Count = 0
    delay_ms: Amount = 0.0
    provider_error: str = ""
    tokens_before: Count = 0


class _Notice(LinePart, tag="notice"):
    metadata: _Recovery | None = None


class _ClineFault(LinePart):
    message: str = ""


class _ClineError(LinePart, tag="error", rename="camel"):
    error: _ClineFault | None = None
    error_class: str | None = None
    recoverable: bool = False


_Content = _ContentStart | _ContentUpdate | _ContentEnd
_Event = _IterationStart | _Content | _ClineUsage | _Notice | _ClineError | _IterationEnd | OtherObject


class _AgentEvent(LinePart, tag="agent_event"):
    event: _Event | None = None


class _RunResult(LinePart, tag="run_result", rename="camel"):
    finish_reason: str = ""
    iterations: Count = 0
    usage: _ClineUsage | None = None
    text: str = ""


_Line = _AgentEvent | _RunResult | OtherObject
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_TURN = "iteration"
"""The id of every response."""

_SILENT = {"hook_event", "run_start", "run_aborted", "agent_event/done"}
"""Kinds of line without new information."""

_EMPTY = "Model returned empty response"
_ABORTED = "it was stopped, or it stopped because of repeated or impossible calls"

_CLASSES = {"auth": ev.ErrorKind.AUTH, "context_window_exceeded": ev.ErrorKind.CONTEXT_OVERFLOW}

_MCP_FAILED = re.compile(
    r'^\{"level":\d+,[^\n]{0,1000}?"msg":"\[mcp\] Failed to load tools from MCP server \\"([^"\\]{1,200})\\"',
    re.MULTILINE,
)


def _content_start(event: _ContentStart) -> Iterator[ev.Event]:
    if event.content_type == "text":
        yield ev.Text(turn=_TURN, text=event.text, piece=True)
    elif event.content_type == "tool":
        yield ev.ToolCall(turn=_TURN, call_id=event.tool_call_id, name=event.tool_name, arguments=_arguments(event))


def _content_end(event: _ContentEnd) -> Iterator[ev.Event]:
    if event.content_type == "reasoning":
        yield ev.Thinking(turn=_TURN, text=event.reasoning)
    elif event.content_type == "tool":
        outputs = event.output if isinstance(event.output, list) else [event.output or _ClineOutput()]
        failed = any(output.error or output.is_error or not output.success for output in outputs)
        yield ev.ToolResult(
            call_id=event.tool_call_id,
            content=_content(outputs),
            is_error=failed or bool(event.error),
            seconds=None if event.duration_ms is None else event.duration_ms / 1000,
        )


def _used(event: _ClineUsage) -> Iterator[ev.Event]:
    yield ev.TurnFinished(turn=_TURN, usage=_usage(event), cost_usd=event.cost)


def _notice(event: _Notice) -> Iterator[ev.Event]:
    told = event.metadata or _Recovery()
    if told.kind == "provider_error_retry":
        yield ev.Retry(
            attempt=told.attempt,
            max_attempts=told.max_retries,
            delay_s=told.delay_ms / 1000,
            error=told.provider_error[:4096],
        )
    elif told.phase == "completed":
        yield ev.Compaction(trigger=told.kind, tokens=told.tokens_before)


def _error(event: _ClineError) -> Iterator[ev.Event]:
    said = event.error.message if event.error else ""
    if event.recoverable or said == _EMPTY:
        return
    kind = error_kind(said)
    if kind is ev.ErrorKind.OTHER and event.error_class is not None:
        kind = _CLASSES.get(event.error_class, ev.ErrorKind.MODEL_ERROR)
    yield from error_events(kind, said)


def _run_result(event: _RunResult) -> Iterator[ev.Event]:
    empty = event.text == _EMPTY and event.finish_reason == "error"
    succeeded = event.finish_reason == "completed" or empty
    yield ev.SessionFinished(
        is_error=not succeeded,
        succeeded=succeeded,
        reason="empty response" if empty else event.finish_reason,
        text=event.text[:4096] or (_ABORTED if event.finish_reason == "aborted" else ""),
        usage=_usage(event.usage or _ClineUsage()),
        turns=event.iterations,
    )


def _usage(used: _ClineUsage) -> ev.Usage:
    read, written = used.cache_read_tokens, used.cache_write_tokens
    sent = None if used.input_tokens is None else max(0, used.input_tokens - (read or 0) - (written or 0))
    return ev.Usage(
        input_tokens=sent, output_tokens=used.output_tokens, cache_read_tokens=read, cache_write_tokens=written
    )


def _arguments(event: _ContentStart) -> Any:
    """Return the arguments of a call. A shell call's list of commands becomes one command."""
    given = event.input
    commands = given.get("commands") if event.tool_name == SHELL and isinstance(given, dict) else None
    if isinstance(commands, list) and all(isinstance(command, str) for command in commands):
        return {"command": "\n".join(commands)}
    return given


def _content(outputs: list[_ClineOutput]) -> Raw:
    """Return the parts of what came through MCP, or else the text of all outputs."""
    if len(outputs) == 1 and outputs[0].content is not None:
        return outputs[0].content
    told = [output.result or output.error for output in outputs]
    texts = [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in told]
    return Raw(msgspec.json.encode("\n".join(texts)))


_READINGS: dict[type, Callable[[Any], Iterable[ev.Event]]] = {
    _IterationStart: lambda _: (ev.TurnStarted(turn=_TURN, whole=True),),
    _ContentStart: _content_start,
    _ContentUpdate: lambda _: (),
    _ContentEnd: _content_end,
    _ClineUsage: _used,
    _Notice: _notice,
    _ClineError: _error,
    _IterationEnd: lambda _: (ev.TurnFinished(turn=_TURN),),
    _RunResult: _run_result,
}
