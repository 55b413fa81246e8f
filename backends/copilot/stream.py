"""Reads the stream of GitHub Copilot CLI, and the lines that `launcher` adds to it.

Measured with GitHub Copilot CLI 1.0.102 and a scripted model server:

- The last line of the CLI itself is `result`. It tells only the exit code, which is 1 after any `session.error`.
- `assistant.turn_start` begins a response, however often its request is repeated. `assistant.message` has its text, its
  thoughts and its calls. `model.call_final_result` says that it came back. No line tells its tokens or how it ended.
- The lines of a subagent have its `agentId`. Those of subagents that run side by side are mixed.
- A response that the output limit cut has no message, and the CLI asks again, three times in all. An empty response has
  one. If it ends the session, the CLI calls that a failure. To us, the model has then ended its session, as with other
  CLIs.
- A command that fails counts as a success of the shell tool, which tells its exit code.
- The tokens that the CLI counts include those of subagents, and cached tokens among `inputTokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw, field

from backends import events as ev
from backends.reading.errors import error_events, error_kind
from backends.reading.lines import Count, LinePart, ObjectReader, OtherObject, other_events


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    if isinstance(read, ev.Malformed):
        return other_events(read, line)
    if reading := _READINGS.get(read.type):
        return tuple(reading(read))
    return other_events(OtherObject(kind=read.type), line, silent=_SILENT)


class _CopilotCall(LinePart, rename="camel"):
    tool_call_id: str = ""
    name: str = ""
    arguments: Any = None


class _CopilotFault(LinePart):
    message: str = ""
    code: str = ""


class _CopilotContent(LinePart):
    content: Raw = Raw(b'""')


class _CopilotShell(LinePart, rename="camel"):
    exit_code: int | None = None


class _CopilotTokens(LinePart, rename="camel"):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _CopilotServer(LinePart):
    name: str = ""
    status: str = ""


class _CopilotData(LinePart, rename="camel"):
    """The data of every kind of line in one struct. A field that a kind lacks has its default."""

    session_id: str = ""
    parent_tool_call_id: str | None = None
    model: str = ""
    content: str = ""
    reasoning_text: str = ""
    tool_requests: list[_CopilotCall] = field(default_factory=list)
    tool_call_id: str = ""
    success: bool = True
    result: _CopilotContent | str | None = None
    error: _CopilotFault | str | None = None
    shell_execution: _CopilotShell | None = None
    servers: list[_CopilotServer] = field(default_factory=list)
    server_name: str = ""
    status: str = ""
    error_type: str = ""
    message: str = ""
    status_code: int | None = None
    reason: str = ""
    trigger: str = ""
    pre_compaction_tokens: Count = 0
    exit_code: int = 0
    models: dict[str, _CopilotTokens] = field(default_factory=dict)


class _CopilotLine(LinePart, rename="camel"):
    """Every kind of line. Those of the main agent have no `agentId`."""

    type: str = ""
    data: _CopilotData = field(default_factory=_CopilotData)
    agent_id: str = "main"


_READER: ObjectReader[_CopilotLine] = ObjectReader(_CopilotLine)

_SILENT = frozenset(
    (
        *("abort", "agent.interrupted", "assistant.idle", "assistant.intent", "assistant.message_delta", "result"),
        *("assistant.message_start", "assistant.reasoning", "assistant.reasoning_delta", "assistant.streaming_delta"),
        *("assistant.tool_call_delta", "assistant.turn_end", "assistant.usage", "model.call_failure"),
        *("model.call_finished", "model.call_start", "session.background_tasks_changed", "session.compaction_start"),
        *("session.compaction_complete", "session.custom_agents_updated", "session.info", "session.model_change"),
        *("session.mcp_server_tools_loaded", "session.skills_loaded", "session.todos_changed"),
        *("session.tools_updated", "session.usage_info", "session.warning", "skill.invoked", "subagent.completed"),
        *("subagent.configured", "subagent.failed", "system.notification", "tool.execution_partial_result"),
        *("tool.execution_progress", "tool.execution_start", "tool.shell_output", "user.message"),
    )
)
"""Kinds of line without new information."""

_NO_RESPONSE = "No response was returned."
"""How the CLI begins to complain of an empty response that ends the session."""


def _begun(line: _CopilotLine) -> Iterator[ev.Event]:
    yield ev.SessionStarted(session_id=line.data.session_id)


def _mcp_listed(line: _CopilotLine) -> Iterator[ev.Event]:
    yield ev.SessionStarted(mcp_servers={server.name: server.status for server in line.data.servers})


def _mcp_changed(line: _CopilotLine) -> Iterator[ev.Event]:
    yield ev.McpStatus(server=line.data.server_name, status=line.data.status)


def _turn_started(line: _CopilotLine) -> Iterator[ev.Event]:
    yield ev.TurnStarted(turn=line.agent_id, whole=True, parent=line.data.parent_tool_call_id)


def _message(line: _CopilotLine) -> Iterator[ev.Event]:
    turn, data, parent = line.agent_id, line.data, line.data.parent_tool_call_id
    if data.reasoning_text:
        yield ev.Thinking(turn=turn, text=data.reasoning_text, parent=parent)
    if data.content:
        yield ev.Text(turn=turn, text=data.content, parent=parent)
    for call in data.tool_requests:
        yield ev.ToolCall(turn=turn, call_id=call.tool_call_id, name=call.name, arguments=call.arguments, parent=parent)


def _turn_finished(line: _CopilotLine) -> Iterator[ev.Event]:
    if line.data.result == "success":
        yield ev.TurnFinished(turn=line.agent_id, model=line.data.model)


def _retry(line: _CopilotLine) -> Iterator[ev.Event]:
    yield ev.Retry(error=line.data.reason[:4096])


def _subagent(line: _CopilotLine) -> Iterator[ev.Event]:
    yield ev.SubagentStarted(call_id=line.data.tool_call_id)


def _tool_result(line: _CopilotLine) -> Iterator[ev.Event]:
    data, shell = line.data, line.data.shell_execution
    content = data.result.content if isinstance(data.result, _CopilotContent) else Raw(b'""')
    if isinstance(data.error, _CopilotFault):
        content = Raw(msgspec.json.encode(data.error.message))
    failed = not data.success or (shell is not None and bool(shell.exit_code))
    yield ev.ToolResult(call_id=data.tool_call_id, content=content, is_error=failed)


def _error(line: _CopilotLine) -> Iterator[ev.Event]:
    said, status = line.data.message, line.data.status_code
    if said.startswith(_NO_RESPONSE):
        return
    kind = error_kind(said, status)
    if kind is ev.ErrorKind.OTHER and line.data.error_type == "query":
        kind = ev.ErrorKind.MODEL_ERROR
    yield from error_events(kind, said, status)


def _compacted(line: _CopilotLine) -> Iterator[ev.Event]:
    if line.data.success:
        yield ev.Compaction(trigger=line.data.trigger, tokens=line.data.pre_compaction_tokens)


def _ended(line: _CopilotLine) -> Iterator[ev.Event]:
    """Yield the end and what the CLI counted. If it never had a response, its exit code and its errors say more."""
    data = line.data
    by_model = {model[:200]: _usage(used) for model, used in data.models.items()}
    if by_model:
        yield ev.SessionFinished(
            is_error=data.exit_code not in _ORDERLY,
            reason=f"exit code {data.exit_code}",
            usage=sum(by_model.values(), ev.Usage()),
            usage_by_model=by_model,
        )


def _usage(used: _CopilotTokens) -> ev.Usage:
    sent, read, written = used.input_tokens, used.cache_read_tokens, used.cache_write_tokens
    return ev.Usage(
        input_tokens=None if sent is None else max(0, sent - (read or 0) - (written or 0)),
        output_tokens=used.output_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


_ORDERLY = frozenset((0, 1))
"""The exit codes of a session that went well, and of one that told its error."""

_READINGS: dict[str, Callable[[_CopilotLine], Iterable[ev.Event]]] = {
    "proctor.session": _begun,
    "proctor.end": _ended,
    "session.mcp_servers_loaded": _mcp_listed,
    "session.mcp_server_status_changed": _mcp_changed,
    "assistant.turn_start": _turn_started,
    "assistant.message": _message,
    "model.call_final_result": _turn_finished,
    "assistant.turn_retry": _retry,
    "subagent.started": _subagent,
    "tool.execution_complete": _tool_result,
    "session.error": _error,
    "proctor.compaction": _compacted,
}
