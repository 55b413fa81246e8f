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
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from msgspec import Struct, field

from backends import events as ev
from backends.base import Backend, SessionSpec
from backends.errors import error_kind, reset_hint
from backends.wire import Amount, Count, LineReader, output_limit, plain_name, read_options, sample, tool_result

_PROVIDER = "proctor"


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`variant`: the reasoning effort asked of the model; `log_level`: OpenCode's own log, on standard error.

    At `ERROR` the log no longer says that an MCP server failed.
    """

    variant: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "WARN"


class OpenCode(Backend):
    """The adapter of OpenCode."""

    name = "opencode"
    package = "opencode-ai"
    program = "opencode"
    options = Options

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. With a title given, OpenCode does not ask the model for one."""
        options = self._options(spec)
        command = [spec.executable, "run", "--format", "json", "--thinking", "--title", "session"]
        command += ["--print-logs", "--log-level", options.log_level]
        command += ["--model", f"{_PROVIDER}/{spec.model}"]
        return [*command, "--variant", options.variant] if options.variant else command

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`.

        All of it lies in the home and is read at the start; the workspace holds nothing of it, and what an
        agent writes there is never read as configuration (`OPENCODE_DISABLE_PROJECT_CONFIG`).
        """
        config = {
            "permission": "allow",
            "autoupdate": False,
            "share": "disabled",
            "compaction": {"auto": False, "prune": False},
            "enabled_providers": [_PROVIDER],
            "provider": {_PROVIDER: _provider(spec, self._options(spec))},
            "mcp": {server.name: {"type": "remote", "url": server.url, "oauth": False} for server in spec.mcp},
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
        if isinstance(read, ev.Malformed):
            return (read,) if line.strip() else ()
        if read.type in _READINGS:
            return tuple(_READINGS[read.type](read))
        if not read.type:
            return (ev.Malformed(reason="no type", sample=sample(line)),)
        return (ev.Unknown(kind=read.type[:80], sample=sample(line)),)

    def read_stderr(self, text: str) -> tuple[ev.Event, ...]:
        """See `Backend.read_stderr`: the MCP servers that failed."""
        return tuple(ev.McpStatus(server=found[1], status=found[2]) for found in _MCP_FAILED.finditer(text))

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"{plain_name(server)}_{plain_name(tool)}"

    def _options(self, spec: SessionSpec) -> Options:
        return read_options(Options, spec.options)


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


def _provider(spec: SessionSpec, options: Options) -> dict[str, Any]:
    model: dict[str, Any] = {
        "name": spec.model,
        "tool_call": True,
        "limit": {"context": spec.context, "output": output_limit(spec.context)},
    }
    if options.variant:
        model |= {"reasoning": True, "variants": {options.variant: {"reasoningEffort": options.variant}}}
    return {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Proctor",
        "options": {"baseURL": f"{spec.model_url}/v1", "apiKey": "sealed"},
        "models": {spec.model: model},
    }


class _Time(Struct):
    start: Amount | None = None
    end: Amount | None = None


class _Metadata(Struct):
    exit: int | None = None


class _State(Struct):
    status: str = ""
    input: Any = None
    output: str | None = None
    error: str | None = None
    metadata: _Metadata | None = None
    time: _Time | None = None


class _Cache(Struct):
    read: Count = 0
    write: Count = 0


class _Tokens(Struct):
    input: Count = 0
    output: Count = 0
    reasoning: Count = 0
    cache: _Cache = field(default_factory=_Cache)


class _Part(Struct):
    message_id: str = field(default="", name="messageID")
    call_id: str = field(default="", name="callID")
    text: str = ""
    tool: str = ""
    state: _State = field(default_factory=_State)
    reason: str | None = None
    tokens: _Tokens = field(default_factory=_Tokens)
    cost: Amount | None = None


class _ErrorData(Struct):
    message: str = ""
    status: int | None = field(default=None, name="statusCode")
    headers: dict[str, str] = field(default_factory=dict, name="responseHeaders")


class _Error(Struct):
    name: str = ""
    data: _ErrorData = field(default_factory=_ErrorData)


class _Line(Struct):
    type: str = ""
    session_id: str = field(default="", name="sessionID")
    part: _Part = field(default_factory=_Part)
    error: _Error = field(default_factory=_Error)


_READER = LineReader(_Line)

_ERROR_NAMES = {
    "ProviderAuthError": ev.ErrorKind.AUTH,
    "ContextOverflowError": ev.ErrorKind.CONTEXT_OVERFLOW,
    "MessageOutputLengthError": ev.ErrorKind.OUTPUT_TOKENS,
    "MessageAbortedError": ev.ErrorKind.CLI,
}


def _turn_started(line: _Line) -> Iterator[ev.Event]:
    yield ev.TurnStarted(turn=line.part.message_id, session_id=line.session_id)


def _text(line: _Line) -> Iterator[ev.Event]:
    yield ev.Text(turn=line.part.message_id, text=line.part.text)


def _thinking(line: _Line) -> Iterator[ev.Event]:
    yield ev.Thinking(turn=line.part.message_id, text=line.part.text)


def _tool_use(line: _Line) -> Iterator[ev.Event]:
    part, state, name = line.part, line.part.state, line.part.tool
    failed = state.status == "error" or bool(state.metadata and state.metadata.exit)
    if name == "invalid":
        failed = True
        if isinstance(state.input, dict) and isinstance(wanted := state.input.get("tool"), str):
            name = wanted
    seconds = None
    if state.time and state.time.start is not None and state.time.end is not None:
        seconds = max(0.0, state.time.end - state.time.start) / 1000
    output = (state.error if state.status == "error" else state.output) or ""
    yield ev.ToolCall(turn=part.message_id, call_id=part.call_id, name=name, arguments=state.input)
    yield tool_result(part.call_id, output, is_error=failed, seconds=seconds)


def _turn_finished(line: _Line) -> Iterator[ev.Event]:
    part, tokens = line.part, line.part.tokens
    usage = ev.Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output + tokens.reasoning,
        cache_read_tokens=tokens.cache.read,
        cache_write_tokens=tokens.cache.write,
        reasoning_tokens=tokens.reasoning,
    )
    yield ev.TurnFinished(turn=part.message_id, usage=usage, stop_reason=part.reason or None, cost_usd=part.cost or 0.0)


def _error(line: _Line) -> Iterator[ev.Event]:
    error = line.error
    message, status = error.data.message or error.name, error.data.status
    kind = _ERROR_NAMES.get(error.name) or error_kind(message, status)
    if kind is ev.ErrorKind.RATE_LIMIT:
        after = error.data.headers.get("retry-after")
        yield ev.RateLimit(resets_at=reset_hint(message) or (f"{after} s" if after else None), message=message[:4096])
    yield ev.Error(kind=kind, message=message[:4096], status=status, session_id=line.session_id)


_READINGS: dict[str, Callable[[_Line], Iterable[ev.Event]]] = {
    "step_start": _turn_started,
    "text": _text,
    "reasoning": _thinking,
    "tool_use": _tool_use,
    "step_finish": _turn_finished,
    "error": _error,
}
