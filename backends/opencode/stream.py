"""Reads the stream of OpenCode and of its fork Kilo Code, and their log on standard error.

Measured with OpenCode 1.18.33, Kilo Code 7.7.7 and a scripted model server:

- There is no first and no last event. Each model response gives one `step_finish`. The session ends with a response
  whose reason is `stop` and that called no tool.
- A response that was cut or broken has the reason `unknown`. OpenCode asks again at once.
- This version shows no retry and no compaction. Its message has parts for both, which other versions may show.
- Only the main session's parts appear. The totals do not include the steps and tokens of a subagent (tool `task`).
- A tool call and its result come as one `tool_use`, when the result is there.
- `input` leaves out cached tokens, `output` leaves out reasoning.
- The stream does not report an MCP server that fails. The log (level WARN) does.
- A call of an unknown tool, or with arguments that are not JSON, appears as tool `invalid`, status `completed`. In Kilo
  Code, it has its own name, and its status is `error`.
- Kilo Code ends with an error, a mere text, if the model said nothing. To us, the model has then ended its session, as
  with other CLIs. If the server's answer held no response, the reason of the only step is `other`, without tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Raw, field

from backends import events as ev
from backends.reading.errors import error_events, error_kind, reset_hint
from backends.reading.lines import Amount, Count, LinePart, ObjectReader, OtherObject, other_events

_MCP_FAILED = re.compile(r'message="server unavailable" key=(\S{1,200}) .{0,200}?\bstatus=(\w{1,40})')


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    if isinstance(read, (OtherObject, ev.Malformed)):
        return other_events(read, line)
    return _READINGS[type(read)](read)


def read_stderr(text: str) -> tuple[ev.Event, ...]:
    """See `Backend.read_stderr`."""
    return tuple(ev.McpStatus(server=found[1], status=found[2]) for found in _MCP_FAILED.finditer(text))


class _Time(LinePart):
    start: Amount | None = None
    end: Amount | None = None


class _Metadata(LinePart):
    exit: int | None = None
    session_id: str = field(default="", name="sessionId")


class _State(LinePart):
    status: str = ""
    input: Any = None
    output: Raw = Raw(b'""')
    error: Raw = Raw(b'""')
    metadata: _Metadata | None = None
    time: _Time | None = None


class _Cache(LinePart):
    read: Count | None = None
    write: Count | None = None


class _Tokens(LinePart):
    input: Count | None = None
    output: Count | None = None
    reasoning: Count | None = None
    cache: _Cache | None = None


class _OpenCodePart(LinePart):
    message_id: str = field(default="", name="messageID")


class _TextPart(_OpenCodePart):
    text: str = ""


class _ToolPart(_OpenCodePart):
    call_id: str = field(default="", name="callID")
    tool: str = ""
    state: _State | None = None


class _FinishPart(_OpenCodePart):
    reason: str | None = None
    tokens: _Tokens | None = None
    cost: Amount | None = None


class _ErrorData(LinePart):
    message: str = ""
    status: int | None = field(default=None, name="statusCode")
    headers: dict[str, str] = field(default_factory=dict, name="responseHeaders")
    body: str = field(default="", name="responseBody")


class _Failure(LinePart):
    name: str = ""
    data: _ErrorData | None = None


class _StepStart(LinePart, tag="step_start"):
    session_id: str = field(default="", name="sessionID")
    part: _OpenCodePart | None = None


class _OpenCodeText(LinePart, tag="text"):
    part: _TextPart | None = None


class _OpenCodeReasoning(LinePart, tag="reasoning"):
    part: _TextPart | None = None


class _OpenCodeToolUse(LinePart, tag="tool_use"):
    part: _ToolPart | None = None


class _StepFinish(LinePart, tag="step_finish"):
    part: _FinishPart | None = None


class _CompactionPart(_OpenCodePart):
    auto: bool | None = None


class _OpenCodeCompaction(LinePart, tag="compaction"):
    part: _CompactionPart | None = None


class _RetryPart(_OpenCodePart):
    attempt: Count = 0
    error: _Failure | None = None


class _OpenCodeRetry(LinePart, tag="retry"):
    part: _RetryPart | None = None


class _OpenCodeError(LinePart, tag="error"):
    session_id: str = field(default="", name="sessionID")
    error: _Failure | str | None = None


_Spoken = _OpenCodeText | _OpenCodeReasoning | _OpenCodeToolUse
_Line = _StepStart | _Spoken | _StepFinish | _OpenCodeCompaction | _OpenCodeRetry | _OpenCodeError | OtherObject
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_ERROR_NAMES = {
    "ProviderAuthError": ev.ErrorKind.AUTH,
    "ContextOverflowError": ev.ErrorKind.CONTEXT_OVERFLOW,
    "MessageOutputLengthError": ev.ErrorKind.OUTPUT_TOKENS,
    "MessageAbortedError": ev.ErrorKind.CLI,
    "ProviderModelNotFoundError": ev.ErrorKind.MODEL_ERROR,
}
_REQUEST_FAILED = "APIError"
"""The name of an error that the model server's answer, or its absence, is the cause of, whatever its text is."""

_NO_OUTPUT = "run ended without an assistant message"
"""What Kilo Code says of a session in which the model said nothing."""

_DENIED = re.compile(rb"rejected permission to use this specific tool call|a rule which prevents you from using this")
"""What the CLI tells the model of a call that a permission forbids."""

_STOPS = {
    "stop": ev.StopReason.LAST,
    "length": ev.StopReason.OUTPUT_LIMIT,
    "content-filter": ev.StopReason.REFUSED,
    "unknown": ev.StopReason.UNKNOWN,
}


def _step_start(line: _StepStart) -> tuple[ev.Event, ...]:
    part = line.part or _OpenCodePart()
    return (ev.TurnStarted(turn=part.message_id, whole=True, session_id=line.session_id),)


def _text(line: _OpenCodeText) -> tuple[ev.Event, ...]:
    part = line.part or _TextPart()
    return (ev.Text(turn=part.message_id, text=part.text),)


def _reasoning(line: _OpenCodeReasoning) -> tuple[ev.Event, ...]:
    part = line.part or _TextPart()
    return (ev.Thinking(turn=part.message_id, text=part.text),)


def _tool_use(line: _OpenCodeToolUse) -> tuple[ev.Event, ...]:
    part = line.part or _ToolPart()
    state, name = part.state or _State(), part.tool
    failed = state.status == "error" or bool(state.metadata and state.metadata.exit)
    if name == "invalid":
        failed = True
        if isinstance(state.input, dict) and isinstance(wanted := state.input.get("tool"), str):
            name = wanted
    seconds = None
    if state.time and state.time.start is not None and state.time.end is not None:
        seconds = max(0.0, state.time.end - state.time.start) / 1000
    content = state.error if state.status == "error" else state.output
    call = ev.ToolCall(turn=part.message_id, call_id=part.call_id, name=name, arguments=state.input)
    result = ev.ToolResult(call_id=part.call_id, content=content, is_error=failed, seconds=seconds)
    if state.status == "error" and _DENIED.search(bytes(state.error)):
        return (call, result, ev.PermissionDenied(tool=name, call_id=part.call_id))
    if name == "task" and state.metadata and state.metadata.session_id:
        return (call, ev.SubagentStarted(call_id=part.call_id), result)
    return (call, result)


def _step_finish(line: _StepFinish) -> tuple[ev.Event, ...]:
    part = line.part or _FinishPart()
    tokens = part.tokens or _Tokens()
    cache = tokens.cache or _Cache()
    usage = ev.Usage(
        input_tokens=tokens.input,
        output_tokens=ev.summed(tokens.output, tokens.reasoning),
        cache_read_tokens=cache.read,
        cache_write_tokens=cache.write,
        reasoning_tokens=tokens.reasoning,
    )
    stop_reason = _STOPS.get(part.reason or "")
    finished = ev.TurnFinished(turn=part.message_id, usage=usage, stop_reason=stop_reason, cost_usd=part.cost)
    if part.reason == "other" and not usage.prompt_tokens and not usage.output_tokens:
        return (finished, ev.Error(kind=ev.ErrorKind.MODEL_ERROR, message="the model server's answer held no response"))
    return (finished,)


def _compaction(line: _OpenCodeCompaction) -> tuple[ev.Event, ...]:
    auto = line.part and line.part.auto
    return (ev.Compaction(trigger="" if auto is None else "auto" if auto else "manual"),)


def _retry(line: _OpenCodeRetry) -> tuple[ev.Event, ...]:
    part = line.part or _RetryPart()
    failure = part.error or _Failure()
    data = failure.data or _ErrorData()
    return (ev.Retry(attempt=part.attempt, status=data.status, error=(data.message or failure.name)[:4096]),)


def _error(line: _OpenCodeError) -> tuple[ev.Event, ...]:
    said = line.error or _Failure()
    failure = _Failure(data=_ErrorData(message=said)) if isinstance(said, str) else said
    data = failure.data or _ErrorData()
    message = data.message or failure.name
    if message.startswith(_NO_OUTPUT):
        return (ev.SessionFinished(reason="no output", session_id=line.session_id),)
    headers = {name.lower(): value for name, value in data.headers.items()}
    after, after_ms = headers.get("retry-after"), headers.get("retry-after-ms")
    resets_at = f"{after} s" if after else f"{after_ms} ms" if after_ms else reset_hint(data.body)
    kind = _ERROR_NAMES.get(failure.name) or _kind(failure.name, message, data, resets=bool(resets_at))
    return error_events(kind, message, data.status, session_id=line.session_id, resets_at=resets_at)


def _kind(name: str, message: str, data: _ErrorData, *, resets: bool) -> ev.ErrorKind:
    """Return the kind of an error by its message and by the server's answer, which may say more than the message."""
    kind = error_kind(f"{message}\n{data.body}", data.status, resets=resets)
    return ev.ErrorKind.MODEL_ERROR if kind is ev.ErrorKind.OTHER and name == _REQUEST_FAILED else kind


_READINGS: dict[type, Callable[[Any], tuple[ev.Event, ...]]] = {
    _StepStart: _step_start,
    _OpenCodeText: _text,
    _OpenCodeReasoning: _reasoning,
    _OpenCodeToolUse: _tool_use,
    _StepFinish: _step_finish,
    _OpenCodeCompaction: _compaction,
    _OpenCodeRetry: _retry,
    _OpenCodeError: _error,
}
