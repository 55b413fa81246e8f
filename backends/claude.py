"""Claude Code: `claude -p --output-format stream-json`.

Facts about its calls and its stream are measured ones (Claude Code 2.1.197, scripted model server). Those that
shape the reading:

- One model response gives one `assistant` event per content block, all with the same `message.id`; their usage is
  that of the response's first bytes (input right, output nearly nothing). A response without any block and a
  subagent's last response are not shown at all.
- Of a `result`, `usage`, `num_turns` and `duration_ms` are its own and leave out subagents; `modelUsage`,
  `total_cost_usd` and `duration_api_ms` are running totals of the process with them. The running totals are read.
- The cost of a model that the CLI does not know is invented: the gateway's ledger decide.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, field

from backends import events as ev
from backends.base import Backend, Capabilities, ReportingQuirks, SessionSpec
from backends.reading.errors import error_events, error_kind
from backends.reading.lines import (
    Amount,
    Count,
    LinePart,
    ObjectReader,
    Other,
    output_limit,
    plain_name,
    read_options,
    unread,
)


class ClaudeOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent's built-in tools, how often a failed request is repeated, the system prompt (none: the CLI's own)."""

    tools: Annotated[list[str], Meta(min_length=1)] = field(
        default_factory=lambda: ["Bash", "Read", "Write", "Edit", "Glob", "Grep", "Task"]
    )
    max_retries: Annotated[int, Meta(ge=0)] = 1
    system_prompt: str | None = None


class Claude(Backend):
    """The adapter of Claude Code."""

    name = "claude"
    package = "@anthropic-ai/claude-code"
    program = "claude"
    options = ClaudeOptions
    capabilities = Capabilities(
        mcp=True, resume=True, subagents=True, limits=("turns", "cost_usd"), wires=("anthropic_messages",)
    )
    quirks = ReportingQuirks(hides_subagents=True, totals_at_end=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. Instructions and settings are those of the workspace, MCP servers only ours."""
        options = self._options(spec)
        return [
            spec.executable,
            *("-p", "--output-format", "stream-json", "--verbose"),
            *("--model", spec.model, "--dangerously-skip-permissions"),
            *("--tools", ",".join(options.tools)),
            *("--setting-sources", "project"),
            *("--mcp-config", _mcp_config(spec), "--strict-mcp-config"),
            *(["--system-prompt-file", _system_prompt(spec)] if options.system_prompt else []),
            *(["--resume", spec.resume] if spec.resume else []),
        ]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. Settings and CLAUDE.md are read in the workspace alone."""
        servers = {server.name: {"type": "http", "url": server.url} for server in spec.mcp}
        options = self._options(spec)
        allowed = [*options.tools, *(f"mcp__{plain_name(server.name)}" for server in spec.mcp)]
        settings = {"permissions": {"allow": allowed}, "disableAllHooks": True, "includeCoAuthoredBy": False}
        files = {
            _mcp_config(spec): json.dumps({"mcpServers": servers}, indent=2),
            f"{spec.workspace}/.claude/settings.json": json.dumps(settings, indent=2),
        }
        if spec.instructions:
            files[f"{spec.workspace}/CLAUDE.md"] = spec.instructions
        if options.system_prompt:
            files[_system_prompt(spec)] = options.system_prompt
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`.

        Every side model is the served one, so that no request asks for a model that nobody serves. The context
        size is heeded for models not named `claude-…`. The CLI refuses uid 0 unless `IS_SANDBOX` is set, which
        is for whoever starts it to say.
        """
        return {
            "ANTHROPIC_BASE_URL": spec.model_url,
            "ANTHROPIC_AUTH_TOKEN": "sealed",
            "ANTHROPIC_API_KEY": "",
            **{f"ANTHROPIC_DEFAULT_{kind}_MODEL": spec.model for kind in ("OPUS", "SONNET", "HAIKU", "FABLE")},
            "ANTHROPIC_SMALL_FAST_MODEL": spec.model,
            "CLAUDE_CODE_SUBAGENT_MODEL": spec.model,
            "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(spec.context),
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(output_limit(spec.context)),
            "CLAUDE_CODE_MAX_RETRIES": str(self._options(spec).max_retries),
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_TELEMETRY": "1",
            "MCP_CONNECTION_NONBLOCKING": "0",
        }

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        read = _READER.read(line)
        return tuple(_READINGS[type(read)](read, line))

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"mcp__{plain_name(server)}__{plain_name(tool)}"

    def _options(self, spec: SessionSpec) -> ClaudeOptions:
        return read_options(ClaudeOptions, spec.options)


BACKEND = Claude()


def _mcp_config(spec: SessionSpec) -> str:
    return f"{spec.home}/mcp.json"


def _system_prompt(spec: SessionSpec) -> str:
    return f"{spec.home}/system_prompt.md"


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


_Block = _ClaudeText | _ClaudeThinking | _RedactedThinking | _ClaudeToolUse | _ToolResult | Other


class _ClaudeUsage(LinePart):
    input_tokens: Count | None = 0
    output_tokens: Count | None = 0
    cache_read_input_tokens: Count | None = 0
    cache_creation_input_tokens: Count | None = 0


class _ModelUsage(LinePart, rename="camel"):
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count = 0
    cache_creation_input_tokens: Count = 0


class _ClaudeMessage(LinePart):
    id: str = ""
    model: str = ""
    content: str | list[_Block] = ""
    usage: _ClaudeUsage | None = None
    stop_reason: str | None = None


class _McpServer(LinePart):
    name: str = ""
    status: str = ""


class _Compact(LinePart):
    trigger: str = ""
    pre_tokens: Count = 0


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
    """Every subtype in one (init, api_retry, compact_boundary, …): the fields of the others keep their defaults."""

    subtype: str = ""
    session_id: str = ""
    model: str = ""
    tools: list[str] = field(default_factory=list)
    mcp_servers: list[_McpServer] = field(default_factory=list)
    claude_code_version: str = ""
    attempt: Count = 0
    max_retries: Count = 0
    retry_delay_ms: Amount = 0.0
    error_status: int | None = None
    error: str | None = None
    compact_metadata: _Compact | None = None
    tool_name: str = ""
    tool_use_id: str = ""
    decision_reason: str | None = None


class _ClaudeResult(LinePart, tag="result"):
    subtype: str = ""
    session_id: str = ""
    is_error: bool = False
    api_error_status: int | None = None
    duration_ms: Amount | None = None
    duration_api_ms: Amount | None = None
    num_turns: Count = 0
    result: str | None = None
    errors: list[str] = field(default_factory=list)
    total_cost_usd: Amount | None = None
    usage: _ClaudeUsage | None = None
    model_usage: dict[str, _ModelUsage] = field(default_factory=dict, name="modelUsage")
    permission_denials: list[_Denial] = field(default_factory=list)
    terminal_reason: str | None = None


class _RateLimit(LinePart, tag="rate_limit_event"):
    rate_limit_info: _Limit | None = None


_Line = _Assistant | _User | _System | _ClaudeResult | _RateLimit | Other
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_SYNTHETIC = "<synthetic>"
"""The model that the CLI names for messages it wrote itself: errors, and notes to the user."""

_ERROR_NAMES = {
    "authentication_failed": ev.ErrorKind.AUTH,
    "oauth_org_not_allowed": ev.ErrorKind.AUTH,
    "billing_error": ev.ErrorKind.AUTH,
    "rate_limit": ev.ErrorKind.RATE_LIMIT,
    "max_output_tokens": ev.ErrorKind.OUTPUT_TOKENS,
    "model_not_found": ev.ErrorKind.MODEL_ERROR,
    "overloaded": ev.ErrorKind.MODEL_ERROR,
}
"""The CLI's own error names that say one thing; `server_error`, `invalid_request` and `unknown` are read by text."""

_SILENT = {"stream_event", "tool_progress", "tool_use_summary", "prompt_suggestion", "auth_status", "keep_alive"}
"""Kinds of line that tell nothing the others do not."""

_SYSTEM_NAMES = """
    agents_killed api_error away_summary background_tasks commands_changed elicitation_complete file_snapshot
    files_persisted hook_progress hook_response hook_started informational local_command local_command_output
    memory_recall memory_saved mirror_error model_consent_fallback model_fallback model_refusal_fallback
    model_refusal_no_fallback notification permission_retry plugin_install post_turn_summary scheduled_task_fire
    session_state_changed status stop_hook_summary task_notification task_progress task_started task_summary
    task_updated thinking thinking_tokens turn_duration turn_starting worker_shutting_down
"""
_SILENT_SYSTEM = frozenset(_SYSTEM_NAMES.split())
"""Subtypes of `system` that version 2.1.197 may send and that change nothing we count."""


def _assistant(line: _Assistant, raw: bytes) -> tuple[ev.Event, ...]:
    message = line.message or _ClaudeMessage()
    blocks = [_ClaudeText(text=message.content)] if isinstance(message.content, str) else message.content
    if message.model == _SYNTHETIC:
        text = " ".join(block.text for block in blocks if isinstance(block, _ClaudeText))
        kind = _ERROR_NAMES.get(line.error or "") or error_kind(text)
        return (ev.Error(kind=kind, message=text[:4096], session_id=line.session_id),) if line.error else ()
    turn, parent = message.id, line.parent_tool_use_id
    return (
        ev.TurnStarted(turn=turn, session_id=line.session_id, parent=parent),
        *[_block(block, turn, parent, raw) for block in blocks],
        ev.TurnFinished(turn=turn, usage=_usage(message.usage), stop_reason=message.stop_reason),
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
        case Other():
            return unread(Other(kind=f"assistant/{block.kind}"), raw)[0]


def _user(line: _User, _raw: bytes) -> list[ev.Event]:
    content = line.message.content if line.message else ""
    blocks = [] if isinstance(content, str) else content
    return [_tool_result(block) for block in blocks if isinstance(block, _ToolResult)]


def _tool_result(block: _ToolResult) -> ev.ToolResult:
    return ev.ToolResult(call_id=block.tool_use_id, content=block.content, is_error=bool(block.is_error))


def _system(line: _System, raw: bytes) -> Iterator[ev.Event]:
    match line.subtype:
        case "init":
            servers = {server.name: server.status for server in line.mcp_servers}
            yield ev.SessionStarted(
                session_id=line.session_id,
                model=line.model,
                tools=tuple(line.tools),
                mcp_servers=servers,
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
        case "compact_boundary":
            compact = line.compact_metadata or _Compact()
            yield ev.Compaction(trigger=compact.trigger, tokens=compact.pre_tokens)
        case "permission_denied":
            yield ev.PermissionDenied(tool=line.tool_name, call_id=line.tool_use_id, reason=line.decision_reason or "")
        case subtype if subtype not in _SILENT_SYSTEM:
            yield from unread(Other(kind=f"system/{subtype}"), raw)


def _result(line: _ClaudeResult, _raw: bytes) -> Iterator[ev.Event]:
    text = line.result or "; ".join(line.errors)
    for denial in line.permission_denials:
        yield ev.PermissionDenied(tool=denial.tool_name, call_id=denial.tool_use_id)
    if line.is_error and not line.subtype.startswith("error_max"):
        message, status = text or line.terminal_reason or line.subtype, line.api_error_status
        yield from error_events(error_kind(message, status), message, status, session_id=line.session_id)
    yield ev.SessionFinished(
        is_error=line.is_error,
        reason=line.subtype if line.subtype != "success" else line.terminal_reason or "success",
        text=text[:4096],
        usage=sum(map(_usage, line.model_usage.values()), ev.Usage()) if line.model_usage else _usage(line.usage),
        cost_usd=line.total_cost_usd or 0.0,
        turns=line.num_turns,
        duration_s=None if line.duration_ms is None else line.duration_ms / 1000,
        model_s=None if line.duration_api_ms is None else line.duration_api_ms / 1000,
        session_id=line.session_id,
    )


def _rate_limit(line: _RateLimit, _raw: bytes) -> Iterator[ev.Event]:
    limit = line.rate_limit_info
    if limit and limit.status == "rejected":
        yield ev.RateLimit(resets_at=limit.resets_at, message=limit.rate_limit_type)


def _usage(usage: _ClaudeUsage | _ModelUsage | None) -> ev.Usage:
    usage = usage or _ClaudeUsage()
    return ev.Usage(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        cache_read_tokens=usage.cache_read_input_tokens or 0,
        cache_write_tokens=usage.cache_creation_input_tokens or 0,
    )


_READINGS: dict[type, Callable[[Any, bytes], Iterable[ev.Event]]] = {
    _Assistant: _assistant,
    _User: _user,
    _System: _system,
    _ClaudeResult: _result,
    _RateLimit: _rate_limit,
    Other: partial(unread, silent=_SILENT),
    ev.Malformed: partial(unread, silent=_SILENT),
}
