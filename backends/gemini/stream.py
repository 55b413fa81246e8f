"""Reads the stream of Gemini CLI, and its log on standard error.

Measured with Gemini CLI 0.61.0 and a scripted model server:

- The stream does not distinguish model responses. It shows the texts and the calls of one, and then the results of all
  of its calls. So what comes after a result belongs to another response. Thoughts, retries, the turns of a subagent and
  responses without content are not shown.
- A text comes in pieces, as the model server sends them.
- Only the last line tells tokens: those of all requests, also of subagents, by model. `input_tokens` are all tokens
  that went in. `output_tokens` leave out thoughts; the rest of `total_tokens` is what came out.
- An error of the model server ends the session. Its text is `[API Error: …]` around the body of the answer, or around
  the message in it if that is about a limit.
- A command that fails has status `success`, and so has one that is blocked because it substitutes commands (`$(…)`).
- The stream does not report an MCP server that fails. Standard error says that one has, but not which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw, field

from backends import events as ev
from backends.reading.errors import error_events, error_kind, request_failure
from backends.reading.lines import Count, LinePart, ObjectReader, OtherObject, other_events

SUBAGENT_TOOL = "invoke_agent"


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    if isinstance(read, (OtherObject, ev.Malformed)):
        return other_events(read, line)
    return tuple(_READINGS[type(read)](read))


def read_stderr(text: str) -> tuple[ev.Event, ...]:
    """See `Backend.read_stderr`. If MCP failed, none of the servers is known to be there."""
    retries = (
        ev.Retry(attempt=int(found[1]), status=int(found[2]) if found[2] else None, error=found[0])
        for found in _RETRY.finditer(text)
    )
    return (*retries, *((ev.SessionStarted(mcp_servers={}),) if _MCP_FAILED.search(text) else ()))


_RETRY = re.compile(
    r"^Attempt (\d{1,9}) failed(?: with status (\d{3}))?[^\n]{0,200}?\. Retrying with backoff", re.MULTILINE
)
_MCP_FAILED = re.compile(r"^(?:\[INFO\] )?MCP issues detected\.", re.MULTILINE)
_API_ERROR = re.compile(r"\[API Error: (.*)\](?:\n.*)?", re.DOTALL)
_BLOCKED = "Blocked: command substitution detected"
_DENIED = {"policy_violation", "permission_denied"}

_TURN = "response"
"""The id of every response. `Session` tells them apart by the results between them."""

_CUT = {
    "The model returned an empty response": None,
    "The model returned reasoning thoughts but no final": None,
    "Model response was truncated because it exceeded the token limit": ev.StopReason.OUTPUT_LIMIT,
    "The model response was blocked": ev.StopReason.REFUSED,
}
"""How the text of an error begins that tells of a response without content, and why that response ended."""


class _GeminiInit(LinePart, tag="init"):
    session_id: str = ""
    model: str = ""


class _GeminiMessage(LinePart, tag="message"):
    role: str = ""
    content: str = ""
    delta: bool = False


class _GeminiToolUse(LinePart, tag="tool_use"):
    tool_name: str = ""
    tool_id: str = ""
    parameters: Any = None


class _GeminiFault(LinePart):
    type: str = ""
    message: str = ""


class _GeminiToolResult(LinePart, tag="tool_result"):
    tool_id: str = ""
    status: str = ""
    output: Raw = Raw(b'""')
    error: _GeminiFault | None = None


class _GeminiError(LinePart, tag="error"):
    severity: str = ""
    message: str = ""


class _GeminiTokens(LinePart):
    total_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cached: Count | None = None
    input: Count | None = None


class _GeminiStats(_GeminiTokens):
    models: dict[str, _GeminiTokens] = field(default_factory=dict)


class _GeminiEnd(LinePart, tag="result"):
    status: str = ""
    error: _GeminiFault | None = None
    stats: _GeminiStats | None = None


_Spoken = _GeminiMessage | _GeminiToolUse | _GeminiToolResult
_Line = _GeminiInit | _Spoken | _GeminiError | _GeminiEnd | OtherObject
_READER: ObjectReader[_Line] = ObjectReader(_Line)


def _init(line: _GeminiInit) -> Iterator[ev.Event]:
    yield ev.SessionStarted(session_id=line.session_id, model=line.model)


def _message(line: _GeminiMessage) -> Iterator[ev.Event]:
    if line.role == "assistant" and line.content:
        yield ev.TurnStarted(turn=_TURN)
        yield ev.Text(turn=_TURN, text=line.content, piece=line.delta)


def _tool_use(line: _GeminiToolUse) -> Iterator[ev.Event]:
    yield ev.TurnStarted(turn=_TURN)
    yield ev.ToolCall(turn=_TURN, call_id=line.tool_id, name=line.tool_name, arguments=line.parameters)
    if line.tool_name == SUBAGENT_TOOL:
        yield ev.SubagentStarted(call_id=line.tool_id)
    yield ev.TurnFinished(turn=_TURN)


def _tool_result(line: _GeminiToolResult) -> Iterator[ev.Event]:
    failed, output = line.status == "error", line.output
    blocked = bytes(output)[:64].startswith(f'"{_BLOCKED}'.encode())
    if failed and line.error:
        output = Raw(msgspec.json.encode(line.error.message))
    yield ev.ToolResult(call_id=line.tool_id, content=output, is_error=failed or blocked)
    if blocked or (line.error and line.error.type in _DENIED):
        yield ev.PermissionDenied(tool=line.tool_id.partition("__")[0], call_id=line.tool_id)


def _error(line: _GeminiError) -> Iterator[ev.Event]:
    """Yield the response without content that an error tells of, or else the error. A warning is none."""
    empty = [reason for beginning, reason in _CUT.items() if line.message.startswith(beginning)]
    if empty:
        yield ev.TurnStarted(turn=_TURN)
        yield ev.TurnFinished(turn=_TURN, stop_reason=empty[0])
        if empty[0] is ev.StopReason.OUTPUT_LIMIT:
            yield ev.Error(kind=ev.ErrorKind.OUTPUT_TOKENS, message=line.message[:4096])
    elif line.severity == "error":
        yield from request_failure(line.message, None)


def _end(line: _GeminiEnd) -> Iterator[ev.Event]:
    """Yield the end. It also ends the last response, unless that one failed."""
    stats = line.stats or _GeminiStats()
    if line.error:
        yield from _failure(line.error)
    elif line.status == "success":
        yield ev.TurnFinished(turn=_TURN)
    yield ev.SessionFinished(
        is_error=line.status == "error" and line.error is not None,
        succeeded=line.status == "success",
        reason=line.error.type if line.error else line.status,
        text=line.error.message[:4096] if line.error else "",
        usage=_usage(stats),
        usage_by_model={model[:200]: _usage(used) for model, used in line.stats.models.items()} if line.stats else {},
    )


def _usage(used: _GeminiTokens) -> ev.Usage:
    output = used.output_tokens
    if output is not None and used.total_tokens is not None and used.input_tokens is not None:
        output = max(output, used.total_tokens - used.input_tokens)
    return ev.Usage(input_tokens=used.input, output_tokens=output, cache_read_tokens=used.cached)


def _failure(fault: _GeminiFault) -> tuple[ev.Event, ...]:
    found = _API_ERROR.fullmatch(fault.message)
    if found is None:
        return error_events(error_kind(fault.message), fault.message)
    return request_failure(*_body(found[1]))


def _body(text: str) -> tuple[str, int | None]:
    """Return the message and the status in the body of an error answer, or the text itself if it is no such body."""
    try:
        error = json.loads(text)["error"]
        message, status = error["message"], error["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return text, None
    known = isinstance(status, int) and 100 <= status < 600
    return (message if isinstance(message, str) else text), (status if known else None)


_READINGS: dict[type, Callable[[Any], Iterable[ev.Event]]] = {
    _GeminiInit: _init,
    _GeminiMessage: _message,
    _GeminiToolUse: _tool_use,
    _GeminiToolResult: _tool_result,
    _GeminiError: _error,
    _GeminiEnd: _end,
}
