"""Reads the stream of Qwen Code.

Measured with Qwen Code 0.24.4 and a scripted model server:

- One response gives one `assistant` event for each run of blocks of one kind. Each has an id of its own, and only the
  last one has the usage. So this module gives all responses the id "". A `message_start`, which comes only with
  `--include-partial-messages`, begins each. The stream does not show an empty response.
- `input_tokens` includes cached tokens. Over Google's wire, only `total_tokens` includes reasoning.
- The stream does not show the responses of a subagent, and the tool calls only of one that the agent waits for.
- The usage of `result` covers the whole conversation, including sessions before a resumption. So it is not read.
- The CLI shows its own words like a response without tokens: the error of a failed request, which `result` repeats, and
  what `/compress` did. It does not show that it compacts on its own.
- It may tell one retry twice. What it wrote before is a response, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Raw, field

from backends import events as ev
from backends.reading.errors import error_events, error_kind
from backends.reading.lines import Amount, Count, LinePart, ObjectReader, OtherObject, other_events


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    if isinstance(read, (OtherObject, ev.Malformed)):
        return other_events(read, line, silent=_SILENT)
    return tuple(_READINGS[type(read)](read, line))


class _QwenText(LinePart, tag="text"):
    text: str = ""


class _QwenThinking(LinePart, tag="thinking"):
    thinking: str = ""


class _QwenToolUse(LinePart, tag="tool_use"):
    id: str = ""
    name: str = ""
    input: Any = None


class _QwenToolResult(LinePart, tag="tool_result"):
    tool_use_id: str = ""
    content: Raw = Raw(b'""')
    is_error: bool = False


_Block = _QwenText | _QwenThinking | _QwenToolUse | _QwenToolResult | OtherObject


class _QwenUsage(LinePart):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    total_tokens: Count | None = None


class _QwenMessage(LinePart):
    model: str = ""
    content: str | list[_Block] = ""
    usage: _QwenUsage | None = None


class _QwenServer(LinePart):
    name: str = ""
    status: str = ""


class _QwenRetry(LinePart, rename="camel"):
    attempt: Count = 0
    max_retries: Count = 0
    delay_ms: Amount = 0.0


class _QwenDenial(LinePart):
    tool_name: str = ""
    tool_use_id: str = ""


class _QwenError(LinePart):
    message: str = ""


class _Part(LinePart):
    type: str = ""


class _QwenAssistant(LinePart, tag="assistant"):
    message: _QwenMessage = field(default_factory=_QwenMessage)
    parent_tool_use_id: str | None = None
    session_id: str = ""


class _QwenUser(LinePart, tag="user"):
    message: _QwenMessage = field(default_factory=_QwenMessage)
    parent_tool_use_id: str | None = None


class _StreamEvent(LinePart, tag="stream_event"):
    session_id: str = ""
    event: _Part = field(default_factory=_Part)


class _QwenSystem(LinePart, tag="system"):
    """Every subtype in one struct. A field that a subtype lacks has its default."""

    subtype: str = ""
    session_id: str = ""
    model: str = ""
    tools: list[str] = field(default_factory=list)
    mcp_servers: list[_QwenServer] | None = None
    qwen_code_version: str = ""
    data: _QwenRetry = field(default_factory=_QwenRetry)


class _QwenResult(LinePart, tag="result"):
    subtype: str = ""
    session_id: str = ""
    is_error: bool = False
    num_turns: Count = 0
    result: str | None = None
    permission_denials: list[_QwenDenial] = field(default_factory=list)
    error: _QwenError | None = None


_Line = _QwenAssistant | _QwenUser | _StreamEvent | _QwenSystem | _QwenResult | OtherObject
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_OWN_WORDS = re.compile(r"\[API Error: |Context compressed \(~?(?P<before>\d{1,15})")
"""How the texts begin that the CLI shows like a response: of a request that failed, and of `/compress`."""

_SILENT = {"control_request", "control_response", "system/model_fallback"} | {
    f"system/{subtype}" for subtype in ("task_started", "task_notification", "session_start", "session_end")
}
"""Kinds of line without new information."""


def _assistant(line: _QwenAssistant, raw: bytes) -> Iterator[ev.Event]:
    message, parent = line.message, line.parent_tool_use_id
    blocks: list[_Block] = [_QwenText(text=message.content)] if isinstance(message.content, str) else message.content
    usage = _usage(message.usage)
    if parent is not None:
        yield ev.SubagentStarted(call_id=parent)
    elif usage.input_tokens is None and (own := _own_words(blocks)):
        if own["before"]:
            yield ev.Compaction(trigger="manual", tokens=int(own["before"]))
        return
    else:
        yield ev.TurnStarted(turn="", session_id=line.session_id)
    for block in blocks:
        yield from _block(block, parent, raw)
    if parent is None:
        yield ev.TurnFinished(turn="", usage=usage, model=message.model)


def _own_words(blocks: list[_Block]) -> re.Match[str] | None:
    """Return the CLI's own message, if these blocks of a response without tokens are one."""
    return _OWN_WORDS.match(blocks[0].text) if blocks and isinstance(blocks[0], _QwenText) else None


def _block(block: _Block, parent: str | None, raw: bytes) -> Iterator[ev.Event]:
    turn = parent or ""
    match block:
        case _QwenToolUse():
            yield ev.ToolCall(turn=turn, call_id=block.id, name=block.name, arguments=block.input, parent=parent)
        case _QwenText():
            yield ev.Text(turn=turn, text=block.text, parent=parent)
        case _QwenThinking():
            yield ev.Thinking(turn=turn, text=block.thinking, parent=parent)
        case _QwenToolResult():
            yield ev.ToolResult(call_id=block.tool_use_id, content=block.content, is_error=block.is_error)
        case OtherObject():
            yield from other_events(OtherObject(kind=f"message/{block.kind}"), raw)


def _user(line: _QwenUser, raw: bytes) -> Iterator[ev.Event]:
    if line.parent_tool_use_id is not None:
        yield ev.SubagentStarted(call_id=line.parent_tool_use_id)
    for block in line.message.content:
        if isinstance(block, _QwenToolResult):
            yield from _block(block, None, raw)


def _stream_event(line: _StreamEvent, _raw: bytes) -> Iterator[ev.Event]:
    """Return the event of a part of a response. Whole lines repeat what it says."""
    if line.event.type == "message_start":
        yield ev.TurnStarted(turn="", whole=True, session_id=line.session_id)


def _system(line: _QwenSystem, raw: bytes) -> Iterator[ev.Event]:
    match line.subtype:
        case "init":
            yield ev.SessionStarted(
                session_id=line.session_id,
                model=line.model,
                tools=tuple(line.tools),
                mcp_servers=None if line.mcp_servers is None else {one.name: one.status for one in line.mcp_servers},
                cli_version=line.qwen_code_version,
            )
        case "retry":
            told = line.data
            yield ev.Retry(attempt=told.attempt, max_attempts=told.max_retries, delay_s=told.delay_ms / 1000)
        case subtype:
            yield from other_events(OtherObject(kind=f"system/{subtype}"), raw, silent=_SILENT)


def _result(line: _QwenResult, _raw: bytes) -> Iterator[ev.Event]:
    text = (line.error.message if line.error else line.result) or ""
    for denial in line.permission_denials:
        yield ev.PermissionDenied(tool=denial.tool_name, call_id=denial.tool_use_id)
    if line.is_error:
        yield from error_events(error_kind(text), text, session_id=line.session_id)
    yield ev.SessionFinished(
        is_error=line.is_error,
        reason=line.subtype,
        text=text[:4096],
        turns=line.num_turns,
        session_id=line.session_id,
    )


def _usage(used: _QwenUsage | None) -> ev.Usage:
    if used is None or (used.total_tokens is None and not used.input_tokens):  # zeros stand for what is not known
        return ev.Usage()
    sent, cached, written = used.input_tokens or 0, used.cache_read_input_tokens, used.output_tokens
    if written is not None and used.total_tokens is not None:
        written = max(written, used.total_tokens - sent)
    return ev.Usage(input_tokens=max(0, sent - (cached or 0)), output_tokens=written, cache_read_tokens=cached)


_READINGS: dict[type, Callable[[Any, bytes], Iterable[ev.Event]]] = {
    _QwenAssistant: _assistant,
    _QwenUser: _user,
    _StreamEvent: _stream_event,
    _QwenSystem: _system,
    _QwenResult: _result,
}
