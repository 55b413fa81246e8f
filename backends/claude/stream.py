"""Reads the stream of Claude Code.

Measured with Claude Code 2.1.332 and a scripted model server:

- One model response gives one `assistant` event per content block, all with the same `message.id`. They report the
  usage known at the response's first bytes: the input is right, the output is close to zero. The stream does not show
  a response without any block, nor the last response of a subagent for which the agent waits. By default, the agent
  goes on beside its subagents.
- In a `result`, `usage` and `num_turns` leave out subagents. `modelUsage` and `total_cost_usd` are running totals of
  the process and include subagents, so this module reads those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from msgspec import Raw, field

from backends import events as ev
from backends.reading.errors import error_events, error_kind
from backends.reading.lines import Amount, Count, LinePart, ObjectReader, OtherObject, other_events

OWN_LIMITS = {"error_max_turns": "turns", "error_max_budget_usd": "cost_usd"}
"""See `Backend.own_limits`."""


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    return tuple(_READINGS[type(read)](read, line))


class _ClaudeText(LinePart, tag="text"):
    text: str = ""


class _ClaudeThinking(LinePart, tag="thinking"):
    thinking: str = ""


class _RedactedThinking(_ClaudeThinking, tag="redacted_thinking"): ...


class _ClaudeToolUse(LinePart, tag="tool_use"):
    id: str = ""
    name: str = ""
    input: Any = None


class _ToolResult(LinePart, tag="tool_result"):
    tool_use_id: str = ""
    content: Raw = Raw(b'""')
    is_error: bool | None = None


_Block = _ClaudeText | _ClaudeThinking | _RedactedThinking | _ClaudeToolUse | _ToolResult | OtherObject


class _ClaudeUsage(LinePart):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None


class _ModelUsage(LinePart, rename="camel"):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None


class _ClaudeMessage(LinePart):
    id: str = ""
    model: str = ""
    content: str | list[_Block] = ""
    usage: _ClaudeUsage | None = None
    stop_reason: str | None = None


class _McpServer(LinePart):
    name: str = ""
    status: str = ""


class _McpError(LinePart):
    name: str = ""
    error: str | None = None


class _Compact(LinePart):
    trigger: str = ""
    pre_tokens: Count = 0


class _Task(LinePart):
    """A command or a subagent in the background. The CLI does not wait for one that is `ambient`."""

    ambient: bool | None = None


class _Denial(LinePart):
    tool_name: str = ""
    tool_use_id: str = ""


class _Limit(LinePart, rename="camel"):
    status: str = ""
    resets_at: Amount | None = None
    rate_limit_type: str = ""


class _Assistant(LinePart, tag="assistant"):
    message: _ClaudeMessage | None = None
    parent_tool_use_id: str | None = None
    session_id: str = ""
    error: str | None = None


class _User(LinePart, tag="user"):
    message: _ClaudeMessage | None = None


class _System(LinePart, tag="system"):
    """Every subtype in one struct (init, api_retry, …). A field that a subtype lacks has its default."""

    subtype: str = ""
    session_id: str = ""
    model: str = ""
    tools: list[str] = field(default_factory=list)
    mcp_servers: list[_McpServer] | None = None
    mcp_server_errors: list[_McpError] = field(default_factory=list)
    claude_code_version: str = ""
    attempt: Count = 0
    max_retries: Count = 0
    retry_delay_ms: Amount = 0.0
    error_status: int | None = None
    error: str | None = None
    compact_result: str | None = None
    compact_metadata: _Compact | None = None
    microcompact_metadata: _Compact | None = None
    tool_name: str = ""
    tool_use_id: str = ""
    decision_reason: str | None = None
    tasks: list[_Task] = field(default_factory=list)


class _ClaudeResult(LinePart, tag="result"):
    subtype: str = ""
    session_id: str = ""
    is_error: bool = False
    api_error_status: int | None = None
    num_turns: Count = 0
    result: str | None = None
    errors: list[str] = field(default_factory=list)
    total_cost_usd: Amount | None = None
    usage: _ClaudeUsage | None = None
    model_usage: dict[str, _ModelUsage] = field(default_factory=dict, name="modelUsage")
    permission_denials: list[_Denial] = field(default_factory=list)
    terminal_reason: str | None = None
    stop_reason: str | None = None


class _RateLimit(LinePart, tag="rate_limit_event"):
    rate_limit_info: _Limit | None = None


_Line = _Assistant | _User | _System | _ClaudeResult | _RateLimit | OtherObject
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_REFUSAL = "the model refused to answer"
_SYNTHETIC = "<synthetic>"
"""The model name in messages that the CLI writes itself: errors, and notes to the user."""

_STOPS = {
    "max_tokens": ev.StopReason.OUTPUT_LIMIT,
    "model_context_window_exceeded": ev.StopReason.CONTEXT_LIMIT,
    "refusal": ev.StopReason.REFUSED,
}

_ERROR_NAMES = {
    "authentication_failed": ev.ErrorKind.AUTH,
    "oauth_org_not_allowed": ev.ErrorKind.AUTH,
    "billing_error": ev.ErrorKind.AUTH,
    "rate_limit": ev.ErrorKind.RATE_LIMIT,
    "max_output_tokens": ev.ErrorKind.OUTPUT_TOKENS,
    "model_not_found": ev.ErrorKind.MODEL_ERROR,
    "overloaded": ev.ErrorKind.MODEL_ERROR,
}
"""The CLI's error names with one meaning. For `server_error`, `invalid_request` and `unknown`, the text decides."""

_SILENT = {"stream_event", "tool_progress", "tool_use_summary", "prompt_suggestion", "auth_status", "keep_alive"}
"""Kinds of line without new information."""

_SYSTEM_NAMES = """
    agents_killed api_error away_summary background_tasks code_change_published commands_changed elicitation_complete
    file_attachments_missing file_snapshot files_persisted hook_progress hook_response hook_started informational
    instruction_size_warning local_command local_command_output memory_recall memory_saved mirror_error
    model_consent_fallback model_fallback model_refusal_fallback model_refusal_no_fallback notification
    per_turn_effort_changed permission_check_status permission_retry plugin_install post_turn_summary
    scheduled_task_fire session_state_changed session_title_changed session_writes_lost shell_cwd status
    stop_hook_summary task_list_statuses task_notification task_progress task_started task_summary task_updated
    thinking thinking_tokens turn_duration turn_preempted turn_starting vcs_state_changed worker_shutting_down
"""
_SILENT_SYSTEM = frozenset(_SYSTEM_NAMES.split())
"""Subtypes of `system` that version 2.1.197 or 2.1.332 may send, without new information."""


def _assistant(line: _Assistant, raw: bytes) -> tuple[ev.Event, ...]:
    message = line.message or _ClaudeMessage()
    blocks = [_ClaudeText(text=message.content)] if isinstance(message.content, str) else message.content
    if message.model == _SYNTHETIC:
        if line.parent_tool_use_id is not None:  # the agent gets a subagent's error as the result of its call
            return ()
        text = " ".join(block.text for block in blocks if isinstance(block, _ClaudeText))
        kind = _ERROR_NAMES.get(line.error or "") or error_kind(text)
        if line.error:
            return (ev.Error(kind=kind, message=text[:4096], session_id=line.session_id),)
        return () if kind is ev.ErrorKind.OTHER else error_events(kind, text, session_id=line.session_id)
    parent = line.parent_tool_use_id
    turn = message.id if parent is None else f"{parent}/{message.id}"  # a local server may give both one id
    return (
        ev.TurnStarted(turn=turn, session_id=line.session_id, parent=parent),
        *[_block(block, turn, parent, raw) for block in blocks],
        ev.TurnFinished(
            turn=turn,
            usage=_usage(message.usage),
            stop_reason=_STOPS.get(message.stop_reason or ""),
            model=message.model,
        ),
    )


def _block(block: _Block, turn: str, parent: str | None, raw: bytes) -> ev.Event:
    match block:
        case _ClaudeToolUse():
            return ev.ToolCall(turn=turn, call_id=block.id, name=block.name, arguments=block.input, parent=parent)
        case _ClaudeText():
            return ev.Text(turn=turn, text=block.text, parent=parent)
        case _ClaudeThinking():
            return ev.Thinking(turn=turn, text=block.thinking, parent=parent)
        case _ToolResult():
            return _tool_result(block)
        case OtherObject():
            return other_events(OtherObject(kind=f"assistant/{block.kind}"), raw)[0]


def _user(line: _User, _raw: bytes) -> list[ev.Event]:
    content = line.message.content if line.message else ""
    blocks = [] if isinstance(content, str) else content
    return [_tool_result(block) for block in blocks if isinstance(block, _ToolResult)]


def _tool_result(block: _ToolResult) -> ev.ToolResult:
    return ev.ToolResult(call_id=block.tool_use_id, content=block.content, is_error=bool(block.is_error))


def _system(line: _System, raw: bytes) -> Iterator[ev.Event]:
    match line.subtype:
        case "init":
            servers = {server.name: server.status for server in line.mcp_servers or ()}
            servers |= {server.name: server.error or "failed" for server in line.mcp_server_errors}
            yield ev.SessionStarted(
                session_id=line.session_id,
                model=line.model,
                tools=tuple(line.tools),
                mcp_servers=None if line.mcp_servers is None and not servers else servers,
                cli_version=line.claude_code_version,
            )
        case "api_retry":
            yield ev.Retry(
                attempt=line.attempt,
                max_attempts=line.max_retries,
                delay_s=line.retry_delay_ms / 1000,
                status=line.error_status,
                error=line.error or "",
            )
        case "compact_boundary" | "microcompact_boundary":
            compact = line.compact_metadata or line.microcompact_metadata or _Compact()
            yield ev.Compaction(trigger=compact.trigger, tokens=compact.pre_tokens)
        case "status" if line.compact_result == "success":
            yield ev.Compaction(sign="status")
        case "background_tasks_changed":
            yield ev.BackgroundWork(tasks=sum(not task.ambient for task in line.tasks))
        case "permission_denied":
            yield ev.PermissionDenied(tool=line.tool_name, call_id=line.tool_use_id, reason=line.decision_reason or "")
        case subtype if subtype not in _SILENT_SYSTEM:
            yield from other_events(OtherObject(kind=f"system/{subtype}"), raw)


def _result(line: _ClaudeResult, _raw: bytes) -> Iterator[ev.Event]:
    """Return the events of a final line. Its subtype decides before its flags, which some versions do not set."""
    limit, failed = OWN_LIMITS.get(line.subtype, ""), line.is_error or line.subtype.startswith("error_")
    said = "; ".join(line.errors)
    text = said if failed and line.subtype != "success" else line.result or said
    by_model = {model: _usage(usage) for model, usage in line.model_usage.items()}
    for denial in line.permission_denials:
        yield ev.PermissionDenied(tool=denial.tool_name, call_id=denial.tool_use_id)
    if failed and not limit:
        message, status = text or line.terminal_reason or line.subtype, line.api_error_status
        kind = ev.ErrorKind.REFUSED if line.stop_reason == "refusal" else error_kind(message, status)
        yield from error_events(kind, message, status, session_id=line.session_id)
    elif line.stop_reason == "refusal":
        yield ev.Error(kind=ev.ErrorKind.REFUSED, message=text[:4096] or _REFUSAL, session_id=line.session_id)
    yield ev.SessionFinished(
        is_error=failed,
        reason=line.subtype if line.subtype != "success" else line.terminal_reason or "success",
        limit=limit,
        text=text[:4096],
        usage=sum(by_model.values(), ev.Usage()) if by_model else _usage(line.usage),
        usage_by_model=by_model,
        cost_usd=line.total_cost_usd,
        turns=line.num_turns,
        session_id=line.session_id,
    )


def _rate_limit(line: _RateLimit, _raw: bytes) -> Iterator[ev.Event]:
    limit = line.rate_limit_info
    if limit and limit.status == "rejected":
        yield ev.RateLimit(resets_at=limit.resets_at, message=limit.rate_limit_type)


def _usage(usage: _ClaudeUsage | _ModelUsage | None) -> ev.Usage:
    usage = usage or _ClaudeUsage()
    return ev.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_input_tokens,
        cache_write_tokens=usage.cache_creation_input_tokens,
    )


_READINGS: dict[type, Callable[[Any, bytes], Iterable[ev.Event]]] = {
    _Assistant: _assistant,
    _User: _user,
    _System: _system,
    _ClaudeResult: _result,
    _RateLimit: _rate_limit,
    OtherObject: partial(other_events, silent=_SILENT),
    ev.Malformed: partial(other_events, silent=_SILENT),
}
