"""Codex: `codex exec --json`.

Facts about its calls and its stream are measured ones (Codex 0.169.0, scripted model server). Those that shape the
reading:

- The stream does not tell model responses apart: it has items (texts, tool calls). The tokens in its last line are
  those of the whole conversation, also of sessions that this one resumes: they are not read. The log on standard error
  has a line a response with its tokens, subagents' too.
- Calls of one response run one after the other. A call of an unknown tool or with arguments that do not fit, and
  `view_image`, appear nowhere. A subagent is the call that started it; what it does is not shown.
- `turn.completed` or `turn.failed` is the last event; what `turn.failed` says, an `error` before it says too.
- Of an error the HTTP status is in the text, if anywhere; of status 400 the text is the body of the answer.

Those that shape the configuration:

- Without `unbounded_connection_retries = false` it waits for a refused connection for ever.
- An MCP server that fails is not in the stream; `required` makes the CLI stop before its first request and say so on
  standard error. The tools of a server are offered as a namespace of functions.
- For a model that it does not know it warns (an `error` item) and uses defaults; the context is the one given.
- `project_doc_max_bytes = 0` leaves AGENTS.md of the workspace and above it out; that of its home is read.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, Habits, SessionSpec
from backends.errors import error_kind, reset_hint
from backends.wire import LineReader, Other, plain_name, read_options, tool_result, unread

_PROVIDER = "proctor"


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reasoning_effort`: asked of the model; `max_retries`: of a failed request, and again of a failed stream."""

    reasoning_effort: str | None = None
    max_retries: Annotated[int, Meta(ge=0)] = 1


class Codex(Backend):
    """The adapter of Codex."""

    name = "codex"
    package = "@openai/codex"
    program = "codex"
    options = Options
    capabilities = Capabilities(mcp=True, resume=True, subagents=True, limits=(), wires=("openai_responses",))
    habits = Habits(hides_subagents=True, hides_refused_calls=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. Codex's own sandbox stays off: it runs in ours."""
        command = [spec.executable, "exec", "--json", "--skip-git-repo-check"]
        command += ["--dangerously-bypass-approvals-and-sandbox", "--model", spec.model]
        return [*command, *(["resume", spec.resume] if spec.resume else []), "-"]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All of it lies in the home."""
        options = read_options(Options, spec.options)
        tables: dict[str, dict[str, Any]] = {
            "": _settings(spec, options),
            "analytics": {"enabled": False},
            "features": dict.fromkeys(_FEATURES_OFF, False),
            "skills.bundled": {"enabled": False},
            f"model_providers.{_PROVIDER}": {
                "name": "Proctor",
                "base_url": f"{spec.model_url}/v1",
                "wire_api": "responses",
                "request_max_retries": options.max_retries,
                "stream_max_retries": options.max_retries,
            },
        }
        for server in spec.mcp:
            tables[f"mcp_servers.{plain_name(server.name)}"] = {
                "url": server.url,
                "required": True,
                "tool_timeout_sec": _TOOL_TIMEOUT_S,
            }
        files = {f"{spec.home}/.codex/config.toml": "\n".join(_toml(tables))}
        if spec.instructions:
            files[f"{spec.home}/.codex/AGENTS.md"] = spec.instructions
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:  # noqa: ARG002 - the contract of Backend
        """See `Backend.environment`: of the log only errors, and the lines that tell a response's tokens."""
        return {"RUST_LOG": "error,codex_otel.trace_safe[{input_token_count}]=info", "NO_COLOR": "1"}

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        read = _READER.read(line)
        if isinstance(read, (Other, ev.Malformed)):
            return unread(read, line, silent=_SILENT)
        return tuple(_READINGS[type(read)](read, line))

    def read_stderr(self, text: str) -> tuple[ev.Event, ...]:
        """See `Backend.read_stderr`: the model's responses, and the MCP servers without which it did not start."""
        turns = (
            ev.TurnCounted(turn=f"{one[7]} {one[1]}", usage=_tokens(*map(int, one.group(2, 3, 4, 5, 6))))
            for one in _RESPONSE.finditer(text)
        )
        failed = (ev.McpStatus(server=found[1], status="failed") for found in _MCP_FAILED.finditer(text))
        return (*turns, *failed)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"mcp__{plain_name(server)}.{plain_name(tool)}"


BACKEND = Codex()

_TOOL_TIMEOUT_S = 600
"""Seconds that an MCP tool may take; Codex's own default of 60 is less than an episode may."""

_FEATURES_OFF = ("apps", "goals", "hooks", "plugins", "unbounded_connection_retries")


def _settings(spec: SessionSpec, options: Options) -> dict[str, Any]:
    settings = {
        "model_provider": _PROVIDER,
        "model_context_window": spec.context,
        "allow_login_shell": False,
        "check_for_update_on_startup": False,
        "project_doc_max_bytes": 0,
        "web_search": "disabled",
    }
    return settings | ({"model_reasoning_effort": options.reasoning_effort} if options.reasoning_effort else {})


def _toml(tables: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The tables as TOML, which writes text, numbers and booleans as JSON does."""
    for name, table in tables.items():
        yield f"\n[{name}]" if name else ""
        yield from (f"{key} = {json.dumps(value)}" for key, value in table.items())
    yield ""


_RESPONSE = re.compile(
    r"^(\S{1,40}) +INFO codex_otel\.trace_safe: .*?\binput_token_count=(\d{1,15}) output_token_count=(\d{1,15})"
    r" cached_token_count=(\d{1,15}) cache_write_token_count=(\d{1,15}) reasoning_token_count=(\d{1,15})"
    r" .*?conversation\.id=(\S{1,60})",
    re.MULTILINE,
)
_MCP_FAILED = re.compile(r"^Error: .*required MCP servers failed to initialize: ([\w-]{1,200}):", re.MULTILINE)


class _Wire(Struct, gc=False):
    """A part of a line; fields that are not named are skipped unread."""


class _Part(_Wire):
    type: str = ""
    text: str = ""


class _Result(_Wire):
    content: list[_Part] = []


class _Fault(_Wire):
    message: str = ""


class _Message(_Wire, tag="agent_message"):
    text: str = ""


class _Reasoning(_Wire, tag="reasoning"):
    text: str = ""


class _Call(_Wire):
    """A tool call, begun or done."""

    id: str = ""
    status: str = ""

    def name(self) -> str:
        """By which the model calls the tool."""
        return ""

    def given(self) -> Any:
        """The call's arguments, as far as they are told."""

    def output(self) -> str:
        """What it gave."""
        return ""


class _Command(_Call, tag="command_execution"):
    command: str = ""
    aggregated_output: str | None = None

    def name(self) -> str:
        return "exec_command"

    def given(self) -> Any:
        return {"cmd": _inner(self.command)}

    def output(self) -> str:
        return self.aggregated_output or ""


class _McpCall(_Call, tag="mcp_tool_call"):
    server: str = ""
    tool: str = ""
    arguments: Any = None
    result: _Result | None = None
    error: _Fault | None = None

    def name(self) -> str:
        return BACKEND.tool_name(self.server, self.tool)

    def given(self) -> Any:
        return self.arguments

    def output(self) -> str:
        parts = self.result.content if self.result else []
        said = [part.text if part.type == "text" else f"[{part.type}]" for part in parts]
        return "\n".join([*said, *([self.error.message] if self.error else [])])


class _AgentCall(_Call, tag="collab_tool_call"):
    tool: str = ""
    prompt: str | None = None

    def name(self) -> str:
        return f"multi_agent_v1.{self.tool}"

    def given(self) -> Any:
        return {"message": self.prompt}


class _FileChange(_Call, tag="file_change"):
    changes: Any = None

    def name(self) -> str:
        return "apply_patch"

    def given(self) -> Any:
        return {"changes": self.changes}


_Item = _Message | _Reasoning | _Command | _McpCall | _AgentCall | _FileChange | Other


class _Started(_Wire, tag="item.started"):
    item: _Item | None = None


class _Completed(_Wire, tag="item.completed"):
    item: _Item | None = None


class _Thread(_Wire, tag="thread.started"):
    thread_id: str = ""


class _TurnCompleted(_Wire, tag="turn.completed"): ...


class _TurnFailed(_Wire, tag="turn.failed"):
    error: _Fault | None = None


class _Error(_Wire, tag="error"):
    message: str = ""


_Line = _Thread | _Started | _Completed | _TurnCompleted | _TurnFailed | _Error | Other
_READER: LineReader[_Line] = LineReader(_Line)

_SILENT = {"turn.started", "item.updated"}
"""Kinds of line that tell nothing the others do not."""

_SILENT_ITEMS = {"error", "todo_list"}
"""Items that are no step of the session: a warning, a plan."""

_TURN = ""
"""The stream does not say which response an item belongs to."""


def _started(line: _Started, raw: bytes) -> Iterator[ev.Event]:
    item = line.item
    if isinstance(item, _Call):
        yield ev.ToolCall(turn=_TURN, call_id=item.id, name=item.name()[:200], arguments=item.given())
        if isinstance(item, _AgentCall) and item.tool == "spawn_agent":
            yield ev.SubagentStarted(call_id=item.id)
    elif isinstance(item, Other):
        yield from unread(item, raw, silent=_SILENT_ITEMS)


def _completed(line: _Completed, raw: bytes) -> Iterator[ev.Event]:
    match line.item:
        case _Message(text=text):
            yield ev.Text(turn=_TURN, text=text)
        case _Reasoning(text=text):
            yield ev.Thinking(turn=_TURN, text=text)
        case _Call() as call:
            yield tool_result(call.id, call.output(), is_error=call.status != "completed")
        case Other() as item:
            yield from unread(item, raw, silent=_SILENT_ITEMS)


_IN_SINGLE_QUOTES = re.compile(r"[\w/.-]*sh -l?c '([^']*)'")


def _inner(command: str) -> str:
    """What the model asked for: the last argument of the shell's own command line (`/bin/sh -c '…'`)."""
    plain = _IN_SINGLE_QUOTES.fullmatch(command)  # most are, and shlex takes a microsecond a character
    if plain:
        return plain[1]
    try:
        shell, option, inner = shlex.split(command)
    except ValueError:
        return command
    return inner if shell.endswith("sh") and option in {"-c", "-lc"} else command


def _error(line: _Error, _raw: bytes) -> Iterator[ev.Event]:
    retry = _RETRY.match(line.message)
    if retry is None:
        yield from _failure(line.message)
        return
    status = _STATUS.search(retry[3])
    yield ev.Retry(
        attempt=int(retry[1] or 0),
        max_attempts=int(retry[2] or 0),
        status=int(status[1]) if status else None,
        error=retry[3],
    )


_RETRY = re.compile(r"Reconnecting\.\.\. (?:(\d{1,9})/(\d{1,9})|[\w ]{1,80}) \((.{0,4096})\)", re.DOTALL)
_STATUS = re.compile(r"\bstatus:? (\d{3})\b")
_PHRASES = {
    "reason: max_output_tokens": ev.ErrorKind.OUTPUT_TOKENS,
    "Connection failed: ": ev.ErrorKind.MODEL_UNREACHABLE,
    "experiencing high demand": ev.ErrorKind.MODEL_ERROR,
}
"""Its own words for a response cut by its output limit, a refused connection and status 5xx."""


def _failure(message: str) -> Iterator[ev.Event]:
    text, found = _body_message(message), _STATUS.search(message[:4096])
    status = 400 if text != message else int(found[1]) if found else None
    own = (kind for phrase, kind in _PHRASES.items() if phrase in text[:4096])
    kind = next(own, None) or error_kind(text, status)
    if kind is ev.ErrorKind.RATE_LIMIT:
        yield ev.RateLimit(resets_at=reset_hint(text), message=text[:4096])
    yield ev.Error(kind=kind, message=text[:4096], status=status)


def _body_message(text: str) -> str:
    """The message in the body of an error answer, if the text is one."""
    try:
        message = json.loads(text)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return text
    return message if isinstance(message, str) else text


def _turn_failed(line: _TurnFailed, _raw: bytes) -> Iterator[ev.Event]:
    message = line.error.message if line.error else ""
    yield from _failure(message)
    yield ev.SessionFinished(is_error=True, reason="turn.failed", text=message[:4096])


def _turn_completed(_line: _TurnCompleted, _raw: bytes) -> Iterator[ev.Event]:
    yield ev.SessionFinished(reason="turn.completed")


def _tokens(sent: int, output: int, cached: int, written: int, reasoning: int) -> ev.Usage:
    """Codex counts what the cache held and took among the input, and reasoning among the output."""
    return ev.Usage(
        input_tokens=max(0, sent - cached - written),
        output_tokens=output,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )


_READINGS: dict[type, Callable[[Any, bytes], Iterable[ev.Event]]] = {
    _Thread: lambda line, _raw: (ev.SessionStarted(session_id=line.thread_id),),
    _Started: _started,
    _Completed: _completed,
    _TurnCompleted: _turn_completed,
    _TurnFailed: _turn_failed,
    _Error: _error,
}
