"""Pi: `pi --mode json`.

Facts about its calls and its stream are measured ones (Pi 0.73.1, scripted model server). Those that shape the reading:

- A `message_end` of role `assistant` is a model response, whole: its blocks, its usage, its stop reason. Of one that
  failed this is `error` or `aborted`; the CLI exits with 0 all the same.
- An answer that is none of its wire (HTML) is an empty message without an id, with stop reason `stop`.
- `message_update` repeats the whole message with each piece of it, `turn_end` and `agent_end` repeat messages again.
- `agent_end` ends the session, unless a retry follows (`auto_retry_start`).
- It has no MCP and no subagents.

It reads AGENTS.md and CLAUDE.md of every directory above the workspace unless told not to (`--no-context-files`), and
extensions, skills and prompts of the home; what it is to know beyond its own prompt comes from the file appended to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

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
    read_options,
    tool_result,
    unread,
)

_PROVIDER = "proctor"


class PiOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`thinking`: the effort asked of a model that reasons; `max_retries`: of a failed request."""

    thinking: Literal["off", "minimal", "low", "medium", "high", "xhigh"] = "off"
    max_retries: Annotated[int, Meta(ge=0)] = 1


class Pi(Backend):
    """The adapter of Pi."""

    name = "pi"
    package = "@mariozechner/pi-coding-agent"
    program = "pi"
    options = PiOptions
    capabilities = Capabilities(
        mcp=False,
        resume=True,
        subagents=False,
        limits=(),
        wires=("openai_chat", "anthropic_messages", "openai_responses", "google_generate"),
    )
    quirks = ReportingQuirks(merges_cache_writes=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. Of the home and the workspace it reads its own settings and nothing else."""
        options = read_options(PiOptions, spec.options)
        command = [spec.executable, "--mode", "json", "--print", "--offline"]
        command += ["--provider", _PROVIDER, "--model", spec.model, "--thinking", options.thinking]
        command += ["--no-context-files", "--no-extensions", "--no-skills", "--no-prompt-templates", "--no-themes"]
        command += ["--append-system-prompt", _instructions(spec)] if spec.instructions else []
        return [*command, *(["--session", spec.resume] if spec.resume else [])]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All of it lies in the home."""
        options = read_options(PiOptions, spec.options)
        model = {
            "id": spec.model,
            "reasoning": options.thinking != "off",
            "contextWindow": spec.context,
            "maxTokens": output_limit(spec.context),
        }
        api, path, compat = _APIS[spec.wire]
        provider = {
            "baseUrl": f"{spec.model_url}{path}",
            "api": api,
            "apiKey": "sealed",
            "compat": compat,
            "models": [model],
        }
        settings = {
            "retry": {"maxRetries": options.max_retries, "provider": {"maxRetries": 0}},
            "compaction": {"enabled": False},
            "enableInstallTelemetry": False,
        }
        files = {
            f"{_folder(spec)}/models.json": json.dumps({"providers": {_PROVIDER: provider}}, indent=2),
            f"{_folder(spec)}/settings.json": json.dumps(settings, indent=2),
        }
        return files | ({_instructions(spec): spec.instructions} if spec.instructions else {})

    def environment(self, spec: SessionSpec) -> dict[str, str]:  # noqa: ARG002 - the contract of Backend
        """See `Backend.environment`."""
        return {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1", "PI_TELEMETRY": "0"}

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        read = _READER.read(line)
        if isinstance(read, (Other, ev.Malformed)):
            return unread(read, line, silent=_SILENT)
        return tuple(_READINGS[type(read)](read))

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`: there is none, for want of MCP."""
        raise NotImplementedError(f"pi has no MCP: it shows no {tool} of {server}")


BACKEND = Pi()


_APIS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai_chat": (
        "openai-completions",
        "/v1",
        {"supportsDeveloperRole": False, "supportsStore": False, "maxTokensField": "max_tokens"},
    ),
    "anthropic_messages": ("anthropic-messages", "", {}),
    "openai_responses": ("openai-responses", "/v1", {}),
    "google_generate": ("google-generative-ai", "/v1beta", {}),
}
"""Pi's name of each wire, where its addresses begin, and what its server is known (not) to understand."""


def _folder(spec: SessionSpec) -> str:
    return f"{spec.home}/.pi/agent"


def _instructions(spec: SessionSpec) -> str:
    return f"{_folder(spec)}/instructions.md"


class _PiText(LinePart, tag="text"):
    text: str = ""


class _PiThinking(LinePart, tag="thinking"):
    thinking: str = ""


class _ToolCall(LinePart, tag="toolCall"):
    id: str = ""
    name: str = ""
    arguments: Any = None


_Block = _PiText | _PiThinking | _ToolCall | Other


class _Cost(LinePart):
    total: Amount = 0.0


class _PiUsage(LinePart, rename="camel"):
    input: Count = 0
    output: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    cost: _Cost | None = None


class _PiMessage(LinePart, rename="camel"):
    role: str = ""
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


class _Compacted(LinePart, rename="camel"):
    tokens_before: Count = 0


class _Compaction(LinePart, tag="compaction_end"):
    reason: str = ""
    result: _Compacted | None = None


class _AgentEnd(LinePart, tag="agent_end"): ...


_Line = _Session | _MessageEnd | _ToolEnd | _Retry | _Compaction | _AgentEnd | Other
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_SILENT = {
    *("agent_start", "turn_start", "turn_end", "message_start", "message_update"),
    *("tool_execution_start", "tool_execution_update", "auto_retry_end", "compaction_start"),
    *("queue_update", "session_info_changed", "thinking_level_changed"),
}
"""Kinds of line that tell nothing the others do not."""

_FAILED = {"error", "aborted"}

_STOPS = {"stop": "end_turn", "length": "length", "toolUse": "tool_use"}
"""Stop reasons; `stop` itself is for those CLIs whose last response is the only sign of their end."""


def _session(line: _Session) -> Iterator[ev.Event]:
    yield ev.SessionStarted(session_id=line.id)


def _message_end(line: _MessageEnd) -> Iterator[ev.Event]:
    message = line.message or _PiMessage()
    if message.role != "assistant":
        return
    turn = message.response_id or str(message.timestamp)
    blocks = [_PiText(text=message.content)] if isinstance(message.content, str) else message.content
    yield ev.TurnStarted(turn=turn)
    yield from (_block(block, turn) for block in blocks if not isinstance(block, Other))
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
    )
    cost = used.cost.total if used.cost else 0.0
    yield ev.TurnFinished(turn=turn, usage=usage, stop_reason=_STOPS.get(message.stop_reason or ""), cost_usd=cost)
    if message.stop_reason == "length":
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
    """A request that failed, whatever the words: nothing else makes a message fail."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    status = int(first) if first.isdecimal() and len(first) == 3 else None
    kind = error_kind(text, status)
    if kind is ev.ErrorKind.OTHER:
        kind = ev.ErrorKind.MODEL_ERROR
    return error_events(kind, text, status)


def _tool_end(line: _ToolEnd) -> Iterator[ev.Event]:
    blocks = line.result.content if line.result else []
    said = [block.text if isinstance(block, _PiText) else "[image]" for block in blocks]
    yield tool_result(line.tool_call_id, "\n".join(said), is_error=line.is_error)


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


def _agent_end(_line: _AgentEnd) -> Iterator[ev.Event]:
    yield ev.SessionFinished(reason="agent_end")


_READINGS: dict[type, Callable[[Any], Iterable[ev.Event]]] = {
    _Session: _session,
    _MessageEnd: _message_end,
    _ToolEnd: _tool_end,
    _Retry: _retry,
    _Compaction: _compaction,
    _AgentEnd: _agent_end,
}
