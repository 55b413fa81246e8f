"""The one event vocabulary of all backends: what can be read in a coding-agent CLI's stream.

Events are frozen plain data, tagged in JSON by `type` (the class name). Where the bytes of an event lie in the stream
belongs to its line, not to the event: the reader hands it to `Session.add_line` together with the line's events, and
`Located` is what keeps the two together. A `turn` names one model response; it is the CLI's own id of that response.
`parent` is the call id of the tool call that started the subagent speaking, or none for the main agent.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Raw, Struct

SAMPLE_CAP = 200
"""Characters kept of a line that could not be read as an event."""
_NO_TEXT = Raw(b'""')


class ErrorKind(StrEnum):
    """What went wrong, in terms that every backend shares."""

    AUTH = "auth"
    RATE_LIMIT = "rate_limit"
    CONTEXT_OVERFLOW = "context_overflow"
    MODEL_UNREACHABLE = "model_unreachable"
    MODEL_ERROR = "model_error"
    OUTPUT_TOKENS = "output_tokens"
    MODEL_REFUSED_TOOLS = "model_refused_tools"
    COMPACTION = "compaction"
    CLI = "cli"
    OTHER = "other"


class Usage(Struct, frozen=True, gc=False):
    """Tokens, counted disjointly: `input_tokens` leaves out cached ones, `output_tokens` includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cache_read_tokens - other.cache_read_tokens,
            self.cache_write_tokens - other.cache_write_tokens,
            self.reasoning_tokens - other.reasoning_tokens,
        )

    def most(self, other: Usage) -> Usage:
        """The greater of the two, kind by kind."""
        return Usage(
            max(self.input_tokens, other.input_tokens),
            max(self.output_tokens, other.output_tokens),
            max(self.cache_read_tokens, other.cache_read_tokens),
            max(self.cache_write_tokens, other.cache_write_tokens),
            max(self.reasoning_tokens, other.reasoning_tokens),
        )


class SessionStarted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI is up: its session, model, tools, MCP servers (name -> status) and version."""

    session_id: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()
    mcp_servers: dict[str, str] = {}
    cli_version: str = ""


class TurnStarted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A model response began to arrive. A CLI that reports it block by block repeats this event."""

    turn: str
    session_id: str = ""
    parent: str | None = None


class Text(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Text that the model wrote."""

    turn: str
    text: str
    parent: str | None = None


class Thinking(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Reasoning that the model showed."""

    turn: str
    text: str
    parent: str | None = None


class ToolCall(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The model calls a tool; `arguments` is decoded JSON, or the raw text if it was no JSON."""

    turn: str
    call_id: str
    name: str
    arguments: Any = None
    parent: str | None = None


class SubagentStarted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A tool call started an agent of its own. Not told where the subagent's turns are (their `parent` tells it)."""

    call_id: str


class ToolResult(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """What a tool call gave; `seconds` where the CLI says it.

    `content` is the JSON of it as it stands in the stream, whole and undecoded: a text, or a list of parts. Most bytes
    of a stream are such contents, and few are ever looked at.
    """

    call_id: str
    content: Raw = _NO_TEXT
    is_error: bool = False
    seconds: float | None = None

    @property
    def output(self) -> str:
        """The content as text; of parts that are no text, the kind alone. What is no Unicode is replaced."""
        try:
            content = json.loads(bytes(self.content).decode("utf-8", "replace"))
        except (ValueError, RecursionError):  # the decoder checks no more of it than where it ends
            return ""
        parts = content if isinstance(content, list) else [content]
        return "\n".join(map(_part_text, parts)).encode("utf-8", "replace").decode()


def _part_text(part: Any) -> str:
    if isinstance(part, dict):
        text = part.get("text")
        return text if isinstance(text, str) else f"[{part.get('type')}]"
    return part if isinstance(part, str) else ""


class TurnFinished(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A model response came back, with its usage as known so far.

    May be repeated for one turn (Claude Code: once a content block); a turn's usage is then the greatest.
    """

    turn: str
    usage: Usage = Usage()
    stop_reason: str | None = None
    cost_usd: float = 0.0


class TurnCounted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A model response that came back, told outside the stream (in a log): it counts, and moves nothing else.

    For a CLI whose stream does not tell responses apart (Codex); `usage` is that of the response.
    """

    turn: str
    usage: Usage = Usage()


class Retry(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI asks the model again after a failure."""

    attempt: int = 0
    max_attempts: int = 0
    delay_s: float = 0.0
    status: int | None = None
    error: str = ""


class McpStatus(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The state of an MCP server's connection, in the CLI's words."""

    server: str
    status: str


class Compaction(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI shortened the conversation; `trigger` in its words, `tokens` before it."""

    trigger: str = ""
    tokens: int = 0


class PermissionDenied(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI did not let the model use a tool. It may be told of one call more than once."""

    tool: str
    call_id: str = ""
    reason: str = ""


class RateLimit(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The provider's limit was hit; `resets_at` is epoch seconds, or text as the CLI wrote it."""

    resets_at: float | str | None = None
    message: str = ""


class Error(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Something failed; `status` is the HTTP status where there is one."""

    kind: ErrorKind
    message: str
    status: int | None = None
    session_id: str = ""


class SessionFinished(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI's own last word; totals are those of the CLI process so far (`model_s`: spent in the API)."""

    is_error: bool = False
    reason: str = ""
    text: str = ""
    usage: Usage = Usage()
    cost_usd: float = 0.0
    turns: int = 0
    duration_s: float | None = None
    model_s: float | None = None
    session_id: str = ""


class Unknown(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Well-formed, but of a kind that this version of the adapter does not know."""

    kind: str
    sample: str = ""


class Malformed(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Not an event at all: no JSON, or not an object with a type."""

    reason: str
    sample: str = ""


Event = (
    SessionStarted
    | TurnStarted
    | Text
    | Thinking
    | ToolCall
    | SubagentStarted
    | ToolResult
    | TurnFinished
    | TurnCounted
    | Retry
    | McpStatus
    | Compaction
    | PermissionDenied
    | RateLimit
    | Error
    | SessionFinished
    | Unknown
    | Malformed
)


class Located(Struct, frozen=True, gc=False):
    """An event and where its line lies in the stream: first byte and bytes (without the newline); none if not told."""

    event: Event
    offset: int | None = None
    length: int | None = None


def plain(located: Located | None) -> dict[str, Any] | None:
    """Return an event and its place in the stream as plain data, or `None` for no event."""
    if located is None:
        return None
    return {**msgspec.to_builtins(located.event), "offset": located.offset, "length": located.length}
