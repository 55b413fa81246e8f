"""Requests and replies as plain data, the same for every wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field


class WireError(Exception):
    """A request body is not valid for its wire. The message says what is wrong and where."""


class TokenCounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens by kind. `input_tokens` excludes those read from and written to the prompt cache.

    `cache_write_1h_tokens` are those of `cache_write_tokens` that the cache keeps for an hour, at a price of their own.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens + other.cache_write_1h_tokens,
        )


BYTES_PER_TOKEN = 4
"""The bytes in a token, as a rough average of English text and code. Pseudo-counts use it."""


def pseudo_count(data: bytes) -> int:
    """Return an estimate of the number of tokens in a text."""
    return max(1, len(data) // BYTES_PER_TOKEN)


class OfferedTool(Struct, frozen=True):
    """A tool that the request offers: its name and the JSON schema of its arguments."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)


class RequestToolResult(Struct, frozen=True):
    """The CLI's answer to one tool call. The chat wire cannot mark it as an error."""

    call_id: str
    text: str
    is_error: bool = False


class AnswerForm(Struct, frozen=True, kw_only=True):
    """How a request wants to be answered.

    `calls` says whether the model must call a tool; None leaves it to the model. `tool` is the only tool that it may
    call. `json` means that the text must be JSON, of this `schema` if that is not empty.
    """

    calls: bool | None = None
    tool: str | None = None
    json: bool = False
    schema: Mapping[str, Any] = {}

    def offered(self, tools: Iterable[OfferedTool]) -> tuple[OfferedTool, ...]:
        """Return the tools that the model may call: all, or none if the request forbids calls."""
        return () if self.calls is False else tuple(tools)


class ModelRequest(Struct, frozen=True, kw_only=True):
    """A parsed model request.

    `opening` is the text of the conversation's first user message. `turn` is the number of model turns that the
    conversation already holds, and `results` are the tool results since the last of them. `stream_usage` says whether
    a stream must end with its usage. On the Anthropic wire, it always does. `hosted` names what the service itself
    would run or fetch: tools such as a web search, or a URL in the content.

    `max_output` is the most tokens that one answer may have, or None if the request does not say. `answers` is the
    number of alternative answers that the request asks for. `toolless` means that its session never offers tools, so
    that a request without tools is a turn.
    """

    model: str
    stream: bool
    tools: tuple[OfferedTool, ...] = ()
    opening: str = ""
    turn: int = 0
    results: tuple[RequestToolResult, ...] = ()
    stream_usage: bool = True
    hosted: tuple[str, ...] = ()
    max_output: int | None = None
    answers: int = 1
    wanted: AnswerForm = AnswerForm()
    toolless: bool = False

    @property
    def side(self) -> bool:
        """Whether this is a side request, such as for a title or a summary. It uses no turn.

        It offers no tools, or forbids the model to call one (`tool_choice`).
        """
        return not self.tools and not self.toolless


class ReplyToolCall(Struct, frozen=True):
    """A tool that the model calls."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]


class Reply(Struct, frozen=True, kw_only=True):
    """A model's whole answer. `created` is in seconds since the epoch. The output limit cut it if it is `truncated`."""

    id: str
    created: int
    model: str
    text: str = ""
    calls: tuple[ReplyToolCall, ...] = ()
    usage: TokenCounts = TokenCounts()
    truncated: bool = False


class AnswerOutcome(Struct, frozen=True, kw_only=True):
    """What the bytes of a response say.

    `usage` and `stop_reason` (in the wire's own word) are None until the response reports them. `complete` means that
    the response gave a stop reason and came to its proper end. `may_end` means that it is complete if its stream ends
    here. `error` is the provider's message, or says what is malformed.

    `calls_seen` are the numbers of the calls in `tools_called`, on a wire that names a call more than once. `said` is
    the end of the text so far. `marked` means that the text holds a mark of a tool call (`harness.gateway.leaks`).
    """

    usage: TokenCounts | None = None
    tools_called: tuple[str, ...] = ()
    stop_reason: str | None = None
    complete: bool = False
    may_end: bool = False
    error: str | None = None
    calls_seen: frozenset[tuple[int, int]] = frozenset()
    said: str = ""
    marked: bool = False
