"""The events that all backends share. A coding-agent CLI's stream consists of them.

Events are frozen plain data, tagged in JSON by `type` (the class name). `turn` is the CLI's own id of one model
response. `parent` is the id of the tool call that started the speaking subagent, or `None` for the main agent. An event
does not know where its bytes are in the stream. The reader passes that place to `Session.add_line` together with the
line's events, and `Located` keeps the two together.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

SAMPLE_CAP = 200
"""How many characters are kept of a line that is not a known event."""
_NO_TEXT = Raw(b'""')


class ErrorKind(StrEnum):
    """What went wrong, in terms that every backend shares.

    `REFUSED`: the model refused, or a content filter did. `MALFORMED_TOOL_CALL`: the model server could not parse the
    tool call that the model wrote. `CLI`: in the CLI itself. `OTHER`: nothing tells.
    """

    AUTH = "auth"
    RATE_LIMIT = "rate_limit"
    CONTEXT_OVERFLOW = "context_overflow"
    MODEL_UNREACHABLE = "model_unreachable"
    MODEL_ERROR = "model_error"
    OUTPUT_TOKENS = "output_tokens"
    MODEL_REFUSED_TOOLS = "model_refused_tools"
    REFUSED = "refused"
    MALFORMED_TOOL_CALL = "malformed_tool_call"
    MCP = "mcp"
    COMPACTION = "compaction"
    CLI = "cli"
    OTHER = "other"


class StopReason(StrEnum):
    """Why a model response ended, if that says something about the session.

    - `LAST`: the model had finished. Only for a CLI without a final event (`SessionFinished`): such a response ends the
      session, unless it calls a tool or another one follows.
    - `OUTPUT_LIMIT`, `CONTEXT_LIMIT`: the model's output limit, or its context, cut the response.
    - `REFUSED`: the model refused to go on, or a content filter stopped it.
    - `UNKNOWN`: the CLI does not know. Such a response counts as empty if it calls no tool, whatever it wrote.
    """

    LAST = "last"
    OUTPUT_LIMIT = "output_limit"
    CONTEXT_LIMIT = "context_limit"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Usage(Struct, frozen=True, gc=False):
    """Tokens by kind, each counted once. `input_tokens` excludes cached tokens. `output_tokens` includes reasoning.

    `None` means that the CLI did not tell. A sum counts what is known.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            summed(self.input_tokens, other.input_tokens),
            summed(self.output_tokens, other.output_tokens),
            summed(self.cache_read_tokens, other.cache_read_tokens),
            summed(self.cache_write_tokens, other.cache_write_tokens),
            summed(self.reasoning_tokens, other.reasoning_tokens),
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            _less(self.input_tokens, other.input_tokens),
            _less(self.output_tokens, other.output_tokens),
            _less(self.cache_read_tokens, other.cache_read_tokens),
            _less(self.cache_write_tokens, other.cache_write_tokens),
            _less(self.reasoning_tokens, other.reasoning_tokens),
        )

    def most(self, other: Usage) -> Usage:
        """Return the greater of the two counts for each kind of token."""
        return Usage(
            _greater(self.input_tokens, other.input_tokens),
            _greater(self.output_tokens, other.output_tokens),
            _greater(self.cache_read_tokens, other.cache_read_tokens),
            _greater(self.cache_write_tokens, other.cache_write_tokens),
            _greater(self.reasoning_tokens, other.reasoning_tokens),
        )

    @property
    def prompt_tokens(self) -> int:
        """All tokens that went in, cached or not, as far as they are known."""
        return (self.input_tokens or 0) + (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)


Number = TypeVar("Number", int, float)


def summed(one: Number | None, other: Number | None) -> Number | None:
    """Return the sum of what is known, or `None` if neither is."""
    return other if one is None else one if other is None else one + other


def _less(one: int | None, other: int | None) -> int | None:
    return None if one is None else one - (other or 0)


def _greater(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


class SessionStarted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI has started: its session, model, tools, MCP servers (name -> status, as in `McpStatus`) and version.

    `mcp_servers` lists all of them, or is `None` if the CLI does not list them.
    """

    session_id: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()
    mcp_servers: dict[str, str] | None = None
    cli_version: str = ""


class TurnStarted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A model response began to arrive. A CLI that reports it block by block repeats this event.

    `whole`: this CLI never repeats it, so that each is another response, even if a server gives one id to several.
    """

    turn: str
    whole: bool = False
    session_id: str = ""
    parent: str | None = None


class Text(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Text that the model wrote.

    `piece`: it goes on with the text before it in the same turn. Set it for a CLI that shows a text in pieces.
    """

    turn: str
    text: str
    parent: str | None = None
    piece: bool = False


class Thinking(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Reasoning that the model showed."""

    turn: str
    text: str
    parent: str | None = None


class ToolCall(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The model calls a tool. `arguments` is decoded JSON, or the text itself if it is not JSON.

    The argument that holds a shell command is named `command` or `cmd`.
    """

    turn: str
    call_id: str
    name: str
    arguments: Any = None
    parent: str | None = None


class SubagentStarted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A tool call started a subagent. Needed only if the stream does not show the subagent's turns (by `parent`)."""

    call_id: str


class ToolResult(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The result of a tool call, and how many `seconds` the call took, if the CLI reports it.

    `name` is the tool's, for a CLI that may show a call by its result alone; such a result counts as a call too.
    `content` is its JSON as it stands in the stream, undecoded: a text, or a list of parts. Most bytes of a stream are
    such contents, and few are ever looked at. On a line of many megabytes its strings are shortened.
    """

    call_id: str
    content: Raw = _NO_TEXT
    is_error: bool = False
    seconds: float | None = None
    name: str = ""

    @property
    def output(self) -> str:
        """The content as text. A part that is not text appears as its kind. Invalid Unicode is replaced."""
        try:
            content = json.loads(bytes(self.content).decode("utf-8", "replace"))
        except (ValueError, RecursionError):  # the decoder only checks where it ends
            return ""
        parts = content if isinstance(content, list) else [content]
        return "\n".join(map(_part_text, parts)).encode("utf-8", "replace").decode()


def _part_text(part: Any) -> str:
    if isinstance(part, dict):
        text = part.get("text")
        return text if isinstance(text, str) else f"[{part.get('type')}]"
    return part if isinstance(part, str) else ""


class TurnFinished(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A model response came back, with its usage so far.

    A CLI may repeat this event for one turn. The turn's usage is then the greatest count for each kind of token.
    `cost_usd` is `None` if the CLI does not tell it. `model` is the model that answered, or "" if it does not tell.
    """

    turn: str
    usage: Usage = Usage()
    stop_reason: StopReason | None = None
    cost_usd: float | None = None
    model: str = ""


class TurnCounted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A model response came back, as reported outside the stream (in a log). It counts, and changes nothing else.

    For a CLI whose stream does not distinguish responses. `usage` is that of the response, by `model`.
    """

    turn: str
    usage: Usage = Usage()
    model: str = ""


class Retry(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI asks the model again after a failed request."""

    attempt: int = 0
    max_attempts: int = 0
    delay_s: float = 0.0
    status: int | None = None
    error: str = ""


class McpStatus(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The state of an MCP server's connection.

    `connected`: its tools are there. `disabled`: the CLI leaves it out on purpose. `pending`: not known yet. Any other
    text says, in the CLI's words, that its tools are missing.
    """

    server: str
    status: str


class Compaction(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI shortened the conversation. `trigger` is the reason in its words; `tokens` is the length before.

    A CLI may tell one compaction in several ways. Each has another `sign`; those of one sign are different compactions.
    """

    trigger: str = ""
    tokens: int = 0
    sign: str = ""


class BackgroundWork(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Commands and subagents run in the background now, as many as `tasks`. The CLI waits for them before it exits."""

    tasks: int


class PermissionDenied(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI did not let the model use a tool. It may report the same call more than once."""

    tool: str
    call_id: str = ""
    reason: str = ""


class RateLimit(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The session hit the provider's rate limit. `resets_at` is epoch seconds, or text as the CLI wrote it."""

    resets_at: float | str | None = None
    message: str = ""


class Error(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Something failed. `status` is the HTTP status, if there is one."""

    kind: ErrorKind
    message: str
    status: int | None = None
    session_id: str = ""


class SessionFinished(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The CLI's final event. Totals cover the CLI's process so far.

    `reason` says why it ended, in the CLI's words. `limit` is the limit of its own that stopped it, by the name that
    `Backend.own_limits` gives. `succeeded`: the CLI says that it ended well, so that no earlier error decides. A final
    event without `is_error` and `succeeded` leaves open how the session went. `cost_usd` is `None`, and
    `usage_by_model` empty, if the CLI does not tell.
    """

    is_error: bool = False
    succeeded: bool = False
    reason: str = ""
    limit: str = ""
    text: str = ""
    usage: Usage = Usage()
    usage_by_model: dict[str, Usage] = {}
    cost_usd: float | None = None
    turns: int = 0
    session_id: str = ""


class Unknown(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A well-formed line of a kind that this version of the adapter does not know."""

    kind: str
    sample: str = ""


class Malformed(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A line that is not an event, because it is not JSON, or not an object with a type."""

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
    | BackgroundWork
    | PermissionDenied
    | RateLimit
    | Error
    | SessionFinished
    | Unknown
    | Malformed
)


class Located(Struct, frozen=True, gc=False):
    """An event and the place of its line in the stream: the first byte, and the number of bytes without the newline.

    Both are `None` for an event without a line.
    """

    event: Event
    offset: int | None = None
    length: int | None = None


def plain(located: Located | None) -> dict[str, Any] | None:
    """Return an event and its place in the stream as plain data, or `None` if there is no event."""
    if located is None:
        return None
    return {**msgspec.to_builtins(located.event), "offset": located.offset, "length": located.length}
