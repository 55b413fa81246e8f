"""Reads the stream of Kimi Code, and what it says on standard error.

Measured with Kimi Code 2.1.0 and a scripted model server:

- A line has a `role`: `assistant` is a whole model response (its text and its calls), `tool` the result of a call, and
  `meta` says something of the session by its `type`. The stream tells no ids, tokens, models or thoughts.
- Only the main agent's lines appear, not what a subagent (tool `Agent`) does.
- An empty response, or one of thoughts alone, has no line. Kimi Code takes it for a failure and repeats the request. If
  it is empty again, the session ends with an error. To us, the model has then ended its session, as with other CLIs.
  The error tells the response's `finishReason`; an answer that held no response has none.
- A response that compacts the conversation has no line, either. The script in `adapter` tells it at the end.
- A result does not say whether the call failed. The words of Kimi Code and of MCP servers do.
- `session.resume_hint` is the last line of a session that ended well. A failed one ends without it. The error is then
  on standard error, where all output of shell commands appears too.
- A response that the output limit cut looks like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from msgspec import Raw, field

from backends import events as ev
from backends.reading.errors import error_events, error_kind, told_status
from backends.reading.lines import Amount, Count, LinePart, ObjectReader, OtherObject, call_arguments, other_events

LATEST = "latest"
"""Stands for the id of a conversation, which the stream tells only at the end of a session."""


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    if isinstance(read, ev.Malformed):
        return other_events(read, line)
    match read.role:
        case "assistant":
            return tuple(_response(read))
        case "tool":
            return _result(read)
        case "meta" if events := _meta(read):
            return events
    return other_events(OtherObject(kind=read.type or read.role), line, silent=_SILENT)


def read_stderr(text: str) -> tuple[ev.Event, ...]:
    """See `Backend.read_stderr`."""
    told: list[ev.Event] = [ev.McpStatus(server=found[1], status=found[2]) for found in _MCP_FAILED.finditer(text)]
    if compacted := _COMPACTED.search(text):
        told += [ev.Compaction()] * compacted[0].count("\n")
    if not (found := _FAILED_SESSION.search(text)):
        return tuple(told)
    said = found[1]
    if _EMPTY.search(said):
        return (*told, *_EMPTY_RESPONSE, ev.SessionFinished(succeeded=True, reason="empty response"))
    status = told_status(said.partition(": ")[2])
    kind = error_kind(said, status)
    if kind is ev.ErrorKind.OTHER and said.startswith("provider."):
        kind = ev.ErrorKind.MODEL_ERROR
    return (*told, *error_events(kind, said, status))


class _KimiFunction(LinePart):
    name: str = ""
    arguments: str = ""


class _KimiCall(LinePart):
    id: str = ""
    function: _KimiFunction = field(default_factory=_KimiFunction)


class _KimiLine(LinePart):
    role: str = ""
    type: str = ""
    content: Raw = Raw(b'""')
    tool_calls: list[_KimiCall] = field(default_factory=list)
    tool_call_id: str = ""
    version: str = ""
    session_id: str = ""
    failed_attempt: Count = 0
    max_attempts: Count = 0
    delay_ms: Amount = 0.0
    error_message: str = ""
    status_code: int | None = None


_READER: ObjectReader[_KimiLine] = ObjectReader(_KimiLine)

_SILENT = {"goal.summary"}
"""Kinds of line without new information."""

_FAILED_CALL = re.compile(
    rb'^"(?:Tool \\"[^"\\]{1,200}\\" not found|Invalid args for tool |Error executing tool |subagent error: '
    rb'|\\"[^"]{1,4000}\\" does not exist\.)'
    rb'|Command failed with exit code: -?\d+\.(?:\\n\\n<system-reminder>.{0,4000})?"$'
)
"""What the result of a failed call says: at its beginning, or at the end of a shell command's output."""

_OF_SUBAGENT = re.compile(rb'"(?:agent_id: agent-\d+\\n|<agent_swarm_result>)')
"""How the result of a call begins that started subagents."""

_FAILED_SESSION = re.compile(
    r"^error: failed to run prompt: (.{1,4096}?)\nSee log: [^\n]*\n(?:(?:mcp server|conversation) [^\n]*\n)*\Z",
    re.DOTALL | re.MULTILINE,
)
"""The error that ends a session. Only Kimi Code itself writes after it."""

_EMPTY = re.compile(
    r"The API returned (?:an empty response|a response containing only thinking) .{1,400}finishReason=completed\b"
)
"""What Kimi Code says of a response that came back whole, and was empty."""

_EMPTY_RESPONSE = (ev.TurnStarted(turn="empty", whole=True), ev.TurnFinished(turn="empty"))

_MCP_FAILED = re.compile(r"^mcp server unavailable: server=(\S{1,200}) .{0,200}?\bstatus=(\w{1,40})", re.MULTILINE)

_COMPACTED = re.compile(r"(?:^conversation compacted\n)+\Z", re.MULTILINE)


def _response(line: _KimiLine) -> Iterator[ev.Event]:
    turn = line.tool_calls[0].id if line.tool_calls else "text"
    yield ev.TurnStarted(turn=turn, whole=True)
    if text := _text(line.content):
        yield ev.Text(turn=turn, text=text)
    for call in line.tool_calls:
        arguments = call_arguments(call.function.arguments)
        yield ev.ToolCall(turn=turn, call_id=call.id, name=call.function.name, arguments=arguments)
    yield ev.TurnFinished(turn=turn)


def _result(line: _KimiLine) -> tuple[ev.Event, ...]:
    said = bytes(line.content)
    result = ev.ToolResult(
        call_id=line.tool_call_id, content=line.content, is_error=_FAILED_CALL.search(said) is not None
    )
    return (ev.SubagentStarted(call_id=line.tool_call_id), result) if _OF_SUBAGENT.match(said) else (result,)


def _meta(line: _KimiLine) -> tuple[ev.Event, ...]:
    match line.type:
        case "system.version":
            return (ev.SessionStarted(session_id=LATEST, cli_version=line.version),)
        case "session.resume_hint":
            return (ev.SessionFinished(succeeded=True, reason=line.type, session_id=line.session_id),)
        case "turn.step.retrying":
            retry = ev.Retry(
                attempt=line.failed_attempt,
                max_attempts=line.max_attempts,
                delay_s=line.delay_ms / 1000,
                status=line.status_code,
                error=line.error_message[:4096],
            )
            return (*_EMPTY_RESPONSE, retry) if _EMPTY.search(line.error_message) else (retry,)
    return ()


def _text(content: Raw) -> str:
    """Return the text in a line's content. Invalid Unicode is replaced."""
    try:
        text = json.loads(bytes(content).decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return ""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""
