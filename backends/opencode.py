"""OpenCode: `opencode run --format json`.

Facts about its calls and its stream are measured ones (OpenCode 1.18.33, scripted model server). Those that
shape the reading:

- There is no first and no last event. One `step_finish` per model response; the last one's reason is `stop`.
- Only the main session's parts appear: the steps and tokens of a subagent (tool `task`) are in nobody's totals.
- A tool call and its result come as one `tool_use`, when the result is there.
- `input` leaves out cached tokens, `output` leaves out reasoning.
- An MCP server that fails is missing without a word in the stream; the log (level WARN) tells of it.
- A call of an unknown tool, or with arguments that are no JSON, appears as tool `invalid`, status `completed`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Raw, Struct, field

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

_PROVIDER = "proctor"


class OpenCodeOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`variant`: the reasoning effort asked of the model; `log_level`: OpenCode's own log, on standard error.

    At `ERROR` the log no longer says that an MCP server failed. `tools` are the built-in tools that the agent gets
    (none: all); `system_prompt` takes the place of OpenCode's own (none: that).
    """

    variant: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "WARN"
    tools: list[str] | None = None
    system_prompt: str | None = None


class OpenCode(Backend):
    """The adapter of OpenCode."""

    name = "opencode"
    package = "opencode-ai"
    program = "opencode"
    options = OpenCodeOptions
    capabilities = Capabilities(
        mcp=True,
        resume=True,
        subagents=True,
        limits=(),
        wires=("openai_chat", "anthropic_messages", "openai_responses", "google_generate"),
    )
    quirks = ReportingQuirks(hides_subagents=True, merges_cache_writes=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. With a title given, OpenCode does not ask the model for one."""
        options = self._options(spec)
        command = [spec.executable, "run", "--format", "json", "--thinking", "--title", "session"]
        command += ["--print-logs", "--log-level", options.log_level]
        command += ["--model", f"{_PROVIDER}/{spec.model}"]
        command += ["--session", spec.resume] if spec.resume else []
        return [*command, "--variant", options.variant] if options.variant else command

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`.

        All of it lies in the home and is read at the start; the workspace holds nothing of it, and what an
        agent writes there is never read as configuration (`OPENCODE_DISABLE_PROJECT_CONFIG`).
        """
        config: dict[str, Any] = {
            "permission": "allow",
            "autoupdate": False,
            "share": "disabled",
            "compaction": {"auto": False, "prune": False},
            "enabled_providers": [_PROVIDER],
            "provider": {_PROVIDER: _provider(spec, self._options(spec))},
            "mcp": {server.name: {"type": "remote", "url": server.url, "oauth": False} for server in spec.mcp},
            "agent": {"build": self._agent(spec)},
        }
        folder = f"{spec.home}/.config/opencode"
        files = {f"{folder}/opencode.json": json.dumps(config, indent=2)}
        if spec.instructions:
            files[f"{folder}/AGENTS.md"] = spec.instructions
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:  # noqa: ARG002 - the contract of Backend
        """See `Backend.environment`."""
        return {f"OPENCODE_DISABLE_{switch}": "1" for switch in _SWITCHES}

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        read = _READER.read(line)
        if isinstance(read, (Other, ev.Malformed)):
            return unread(read, line)
        return _READINGS[type(read)](read)

    def read_stderr(self, text: str) -> tuple[ev.Event, ...]:
        """See `Backend.read_stderr`: the MCP servers that failed."""
        return tuple(ev.McpStatus(server=found[1], status=found[2]) for found in _MCP_FAILED.finditer(text))

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"{plain_name(server)}_{plain_name(tool)}"

    def _agent(self, spec: SessionSpec) -> dict[str, Any]:
        """What is changed of `build`, the agent that OpenCode takes when none is named."""
        options = self._options(spec)
        agent: dict[str, Any] = {"prompt": options.system_prompt} if options.system_prompt else {}
        if options.tools is not None:
            kept = (*options.tools, *(f"{plain_name(server.name)}_*" for server in spec.mcp))
            agent["tools"] = {"*": False, **dict.fromkeys(kept, True)}
        return agent

    def _options(self, spec: SessionSpec) -> OpenCodeOptions:
        return read_options(OpenCodeOptions, spec.options)


BACKEND = OpenCode()

_MCP_FAILED = re.compile(r'message="server unavailable" key=(\S{1,200}) .{0,200}?\bstatus=(\w{1,40})')

_SWITCHES = (
    "AUTOCOMPACT",
    "AUTOUPDATE",
    "CLAUDE_CODE",
    "DEFAULT_PLUGINS",
    "EXTERNAL_SKILLS",
    "LSP_DOWNLOAD",
    "MODELS_FETCH",
    "PROJECT_CONFIG",
    "PRUNE",
    "SHARE",
    "TERMINAL_TITLE",
)


_SDKS = {
    "openai_chat": ("@ai-sdk/openai-compatible", "/v1"),
    "anthropic_messages": ("@ai-sdk/anthropic", "/v1"),
    "openai_responses": ("@ai-sdk/openai", "/v1"),
    "google_generate": ("@ai-sdk/google", "/v1beta"),
}
"""The provider package that speaks each wire, which OpenCode has built in, and where its addresses begin."""


def _effort(wire: str, effort: str) -> dict[str, Any]:
    """The options by which OpenCode itself has a model of this wire reason so much."""
    if wire == "anthropic_messages":
        return {"thinking": {"type": "adaptive"}, "effort": effort}
    if wire == "google_generate":
        return {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": effort}}
    return {"reasoningEffort": effort}


def _provider(spec: SessionSpec, options: OpenCodeOptions) -> dict[str, Any]:
    model: dict[str, Any] = {
        "name": spec.model,
        "tool_call": True,
        "limit": {"context": spec.context, "output": output_limit(spec.context)},
    }
    if options.variant:
        model |= {"reasoning": True, "variants": {options.variant: _effort(spec.wire, options.variant)}}
    package, path = _SDKS[spec.wire]
    return {
        "npm": package,
        "name": "Proctor",
        "options": {"baseURL": f"{spec.model_url}{path}", "apiKey": "sealed"},
        "models": {spec.model: model},
    }


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
    read: Count = 0
    write: Count = 0


class _Tokens(LinePart):
    input: Count = 0
    output: Count = 0
    reasoning: Count = 0
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


class _OpenCodeError(LinePart, tag="error"):
    session_id: str = field(default="", name="sessionID")
    error: _Failure | None = None


_Line = _StepStart | _OpenCodeText | _OpenCodeReasoning | _OpenCodeToolUse | _StepFinish | _OpenCodeError | Other
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_ERROR_NAMES = {
    "ProviderAuthError": ev.ErrorKind.AUTH,
    "ContextOverflowError": ev.ErrorKind.CONTEXT_OVERFLOW,
    "MessageOutputLengthError": ev.ErrorKind.OUTPUT_TOKENS,
    "MessageAbortedError": ev.ErrorKind.CLI,
}


def _step_start(line: _StepStart) -> tuple[ev.Event, ...]:
    part = line.part or _OpenCodePart()
    return (ev.TurnStarted(turn=part.message_id, session_id=line.session_id),)


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
    if name == "task" and state.metadata and state.metadata.session_id:
        return (call, ev.SubagentStarted(call_id=part.call_id), result)
    return (call, result)


def _step_finish(line: _StepFinish) -> tuple[ev.Event, ...]:
    part = line.part or _FinishPart()
    tokens = part.tokens or _Tokens()
    cache = tokens.cache or _Cache()
    usage = ev.Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output + tokens.reasoning,
        cache_read_tokens=cache.read,
        cache_write_tokens=cache.write,
        reasoning_tokens=tokens.reasoning,
    )
    reason, cost = part.reason or None, part.cost or 0.0
    return (ev.TurnFinished(turn=part.message_id, usage=usage, stop_reason=reason, cost_usd=cost),)


def _error(line: _OpenCodeError) -> tuple[ev.Event, ...]:
    failure = line.error or _Failure()
    data = failure.data or _ErrorData()
    message = data.message or failure.name
    kind = _ERROR_NAMES.get(failure.name) or error_kind(message, data.status)
    after = data.headers.get("retry-after")
    resets_at = f"{after} s" if after else None
    return error_events(kind, message, data.status, session_id=line.session_id, resets_at=resets_at)


_READINGS: dict[type, Callable[[Any], tuple[ev.Event, ...]]] = {
    _StepStart: _step_start,
    _OpenCodeText: _text,
    _OpenCodeReasoning: _reasoning,
    _OpenCodeToolUse: _tool_use,
    _StepFinish: _step_finish,
    _OpenCodeError: _error,
}
