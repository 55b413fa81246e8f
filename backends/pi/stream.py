"""Reads the stream of Pi.

Measured with Pi 0.73.1 and 0.87.1, and a scripted model server:

- A `message_end` with role `assistant` is a whole model response: its blocks, its usage, its stop reason. The stop
  reason of a failed response is `error` or `aborted`. The CLI exits with 0 even then.
- An answer that does not fit its wire (HTML) gives an empty message without an id, with stop reason `stop`.
- `message_update` tells the pieces of a message. In 0.73.1, each repeats the whole message. `turn_end` and `agent_end`
  repeat messages again.
- In 0.73.1, `agent_end` ends the session, unless a retry follows (`auto_retry_start`). In 0.87.1, `agent_end` says
  whether a retry follows, and `agent_settled` ends the session.
- A conversation begins with a message of role `system` in 0.87.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw, field

from backends import events as ev
from backends.reading.errors import request_failure, told_status
from backends.reading.lines import Amount, Count, LinePart, ObjectReader, OtherObject, other_events


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    if isinstance(read, (OtherObject, ev.Malformed)):
        return other_events(read, line, silent=_SILENT)
    return tuple(_READINGS[type(read)](read))


class _PiText(LinePart, tag="text"):
    text: str = ""


class _PiThinking(LinePart, tag="thinking"):
    thinking: str = ""


class _ToolCall(LinePart, tag="toolCall"):
    id: str = ""
    name: str = ""
    arguments: Any = None


_Block = _PiText | _PiThinking | _ToolCall | OtherObject


class _Cost(LinePart):
    total: Amount | None = None


class _PiUsage(LinePart, rename="camel"):
    input: Count | None = None
    output: Count | None = None
    cache_read: Count | None = None
    cache_write: Count | None = None
    reasoning: Count | None = None
    cost: _Cost | None = None


class _PiMessage(LinePart, rename="camel"):
    role: str = ""
    model: str = ""
    content: str | list[_Block] = ""
    usage: _PiUsage | None = None
    stop_reason: str | None = None
    error_message: str | None = None
    response_id: str | None = None
    timestamp: Count = 0


class _Session(LinePart, tag="session"):
    id: str = ""


class _MessageEnd(LinePart, tag="message_end"):
    message: _PiMessage | None = None


class _PiResult(LinePart):
    content: list[_Block] = field(default_factory=list)


class _ToolEnd(LinePart, tag="tool_execution_end", rename="camel"):
    tool_call_id: str = ""
    result: _PiResult | None = None
    is_error: bool = False


class _Retry(LinePart, tag="auto_retry_start", rename="camel"):
    attempt: Count = 0
    max_attempts: Count = 0
    delay_ms: Amount = 0.0
    error_message: str = ""


class _SummaryRetry(_Retry, tag="summarization_retry_scheduled", rename="camel"):
    """A retry of a request that compacts the conversation."""


class _Compacted(LinePart, rename="camel"):
    tokens_before: Count = 0


class _Compaction(LinePart, tag="compaction_end"):
    reason: str = ""
    result: _Compacted | None = None


class _AutoCompaction(_Compaction, tag="auto_compaction_end"):
    """The same, as earlier versions name it."""


class _AgentEnd(LinePart, tag="agent_end", rename="camel"):
    will_retry: bool | None = None


class _AgentSettled(LinePart, tag="agent_settled"): ...


_Compacting = _Compaction | _AutoCompaction | _SummaryRetry
_End = _AgentEnd | _AgentSettled
_Line = _Session | _MessageEnd | _ToolEnd | _Retry | _Compacting | _End | OtherObject
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_SILENT = {
    *("agent_start", "turn_start", "turn_end", "message_start", "message_update"),
    *("tool_execution_start", "tool_execution_update", "auto_retry_end"),
    *("compaction_start", "auto_compaction_start", "summarization_retry_attempt_start", "summarization_retry_finished"),
    *("bash_execution_update", "entry_appended", "queue_update", "session_info_changed", "thinking_level_changed"),
}
"""Kinds of line without new information."""

_FAILED = {"error", "aborted"}


def _session(line: _Session) -> Iterator[ev.Event]:
    yield ev.SessionStarted(session_id=line.id)


def _message_end(line: _MessageEnd) -> Iterator[ev.Event]:
    message = line.message or _PiMessage()
    if message.role != "assistant":
        return
    turn = message.response_id or str(message.timestamp)
    blocks = [_PiText(text=message.content)] if isinstance(message.content, str) else message.content
    yield ev.TurnStarted(turn=turn, whole=True)
    yield from (_block(block, turn) for block in blocks if not isinstance(block, OtherObject))
    if message.stop_reason in _FAILED:
        yield from _failure(message.error_message or f"the response ended with {message.stop_reason}")
        return
    if not message.response_id and not blocks:
        yield from _failure("the model server's answer held no response")
        return
    used = message.usage or _PiUsage()
    usage = ev.Usage(
        input_tokens=used.input,
        output_tokens=used.output,
        cache_read_tokens=used.cache_read,
        cache_write_tokens=used.cache_write,
        reasoning_tokens=used.reasoning,
    )
    cost = used.cost.total if used.cost else None
    stop_reason = ev.StopReason.OUTPUT_LIMIT if message.stop_reason == "length" else None
    yield ev.TurnFinished(turn=turn, usage=usage, stop_reason=stop_reason, cost_usd=cost, model=message.model)
    if stop_reason:
        yield ev.Error(kind=ev.ErrorKind.OUTPUT_TOKENS, message="the last response was cut by its output limit")


def _block(block: _PiText | _PiThinking | _ToolCall, turn: str) -> ev.Event:
    match block:
        case _PiText():
            return ev.Text(turn=turn, text=block.text)
        case _PiThinking():
            return ev.Thinking(turn=turn, text=block.thinking)
        case _ToolCall():
            return ev.ToolCall(turn=turn, call_id=block.id, name=block.name, arguments=block.arguments)


def _failure(text: str) -> tuple[ev.Event, ...]:
    """Return the events of a request that failed: only that makes a message fail, whatever its words are."""
    return request_failure(text, told_status(text))


def _tool_end(line: _ToolEnd) -> Iterator[ev.Event]:
    blocks = line.result.content if line.result else []
    said = [block.text if isinstance(block, _PiText) else "[image]" for block in blocks]
    content = Raw(msgspec.json.encode("\n".join(said)))
    yield ev.ToolResult(call_id=line.tool_call_id, content=content, is_error=line.is_error)


def _retry(line: _Retry) -> Iterator[ev.Event]:
    yield ev.Retry(
        attempt=line.attempt,
        max_attempts=line.max_attempts,
        delay_s=line.delay_ms / 1000,
        error=line.error_message[:4096],
    )


def _compaction(line: _Compaction) -> Iterator[ev.Event]:
    if line.result:
        yield ev.Compaction(trigger=line.reason, tokens=line.result.tokens_before)


def _agent_end(line: _AgentEnd) -> Iterator[ev.Event]:
    if line.will_retry is None:
        yield ev.SessionFinished(reason="agent_end")


def _agent_settled(_line: _AgentSettled) -> Iterator[ev.Event]:
    yield ev.SessionFinished(reason="agent_settled")


_READINGS: dict[type, Callable[[Any], Iterable[ev.Event]]] = {
    _Session: _session,
    _MessageEnd: _message_end,
    _ToolEnd: _tool_end,
    _Retry: _retry,
    _SummaryRetry: _retry,
    _Compaction: _compaction,
    _AutoCompaction: _compaction,
    _AgentEnd: _agent_end,
    _AgentSettled: _agent_settled,
}
