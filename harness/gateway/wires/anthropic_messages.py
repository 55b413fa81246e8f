"""Anthropic's Messages API (docs.anthropic.com, "Messages" and "Streaming Messages")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, Final

import msgspec
from msgspec import Struct

from harness.gateway.leaks import listen
from harness.gateway.messages import AnswerOutcome, ModelRequest, OfferedTool, Reply, RequestToolResult, TokenCounts
from harness.gateway.wires.base import Extras, counted, decode, dumps, flatten, fragments, new_id, opening, stated
from harness.gateway.wires.urls import URL_SOURCE, fetched
from harness.gateway.wires.wanted import by_anthropic

NAME: Final = "anthropic_messages"
COUNTED_AS: Final = "input_tokens"
ID_HEADER: Final = "request-id"

ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Error type by status. Any other status is an `invalid_request_error` below 500, and then an `api_error`."""

UNSAID: Final = "No response requested."
"""What Claude Code says in the model's name when it resumes a conversation that broke off after a tool's result."""


class _AnthropicMessage(Struct, frozen=True):
    role: str | None = None
    content: Any = None


_CLIENT_TOOLS: Final = ("custom", "bash_", "computer_", "memory_", "text_editor_", "tool_search_tool_")
"""Prefixes of the types of tools that the client runs, or that only reach the request's own tools."""


class _AnthropicTool(Struct, frozen=True):
    name: str | None = None
    input_schema: dict[str, Any] | None = None
    type: str | None = None


class _AnthropicBody(Extras, frozen=True):
    model: str
    messages: list[_AnthropicMessage]
    tools: list[_AnthropicTool] | None = None
    stream: bool | None = None
    mcp_servers: list[Any] | None = None
    max_tokens: Any = None
    tool_choice: Any = None
    output_config: Any = None


def parse(body: bytes, path: str = "") -> ModelRequest:  # noqa: ARG001 (a wire's signature; here the body has everything)
    """Return the request in a body. A turn is an assistant message. Raise `WireError`."""
    data = decode(body, _AnthropicBody)
    offered = data.tools or []
    wanted = by_anthropic(data.tool_choice, data.output_config)
    return ModelRequest(
        model=data.model,
        stream=bool(data.stream),
        tools=wanted.offered(OfferedTool(tool.name or "", tool.input_schema or {}) for tool in offered),
        opening=opening(data.messages),
        turn=sum(message.role == "assistant" and flatten(message.content) != UNSAID for message in data.messages),
        results=tuple(
            RequestToolResult(
                str(block.get("tool_use_id")), flatten(block.get("content")), block.get("is_error") is True
            )
            for block in _latest_blocks(data.messages)
            if isinstance(block, dict) and block.get("type") == "tool_result"
        ),
        hosted=(
            *(tool.type for tool in offered if tool.type and not tool.type.startswith(_CLIENT_TOOLS)),
            *(["mcp_servers"] if data.mcp_servers else []),
            *([URL_SOURCE] if fetched([message.content for message in data.messages]) else []),
            *data.hosted,
        ),
        max_output=stated(data.max_tokens),
        answers=data.answers,
        wanted=wanted,
    )


def _latest_blocks(messages: Sequence[_AnthropicMessage]) -> Iterator[Any]:
    """Yield the blocks of what the user sent since the model's last answer. A system message may follow them."""
    since = list(takewhile(lambda message: message.role != "assistant", reversed(messages)))
    for message in reversed(since):
        if message.role == "user" and isinstance(message.content, list):
            yield from message.content


def _usage(usage: TokenCounts) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }


def _stop_reason(reply: Reply) -> str:
    return "max_tokens" if reply.truncated else "tool_use" if reply.calls else "end_turn"


def render(reply: Reply) -> dict[str, Any]:
    """Return the reply as a message object."""
    content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
    content += [
        {"type": "tool_use", "id": call.call_id, "name": call.name, "input": dict(call.arguments)}
        for call in reply.calls
    ]
    return {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": _stop_reason(reply),
        "stop_sequence": None,
        "usage": _usage(reply.usage),
    }


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {dumps({'type': kind, **data})}\n\n".encode()


def events(reply: Reply, request: ModelRequest) -> Iterator[bytes]:  # noqa: ARG001 (a wire's signature; this one has no options)
    """Yield the reply as the service streams it: start, a group of events for each block, the usage, stop."""
    usage = _usage(reply.usage)
    start = {**render(reply), "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _event("message_start", message=start)
    yield _event("ping")
    if reply.text:
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for piece in fragments(reply.text):
            yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        yield _event("content_block_stop", index=0)
    for index, call in enumerate(reply.calls, start=1 if reply.text else 0):
        block = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}
        yield _event("content_block_start", index=index, content_block=block)
        yield _event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": ""})
        for piece in fragments(dumps(dict(call.arguments))):
            yield _event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage=usage)
    yield _event("message_stop")


def error(status: int, message: str) -> dict[str, Any]:
    """Return the body of an error answer."""
    kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": new_id()}


def model(name: str) -> dict[str, Any]:
    """Return what the service says about a model."""
    entry = {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {**entry, "lifecycle": "active"}


def models(name: str) -> dict[str, Any]:
    """Return the list of models. It has only this one."""
    return {"data": [model(name)], "has_more": False, "first_id": name, "last_id": name}


def count(tokens: int) -> dict[str, Any]:
    """Return the body of an answer that counts tokens."""
    return {COUNTED_AS: tokens}


class _CacheCreation(Struct, frozen=True):
    """How many of the tokens written to the cache it keeps for an hour."""

    ephemeral_1h_input_tokens: Any = None


class _AnthropicUsage(Struct, frozen=True):
    input_tokens: Any = None
    output_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_creation: _CacheCreation | None = None


class _Block(Struct, frozen=True):
    type: str
    name: str | None = None
    text: str | None = None


class _AnthropicAnswer(Struct, frozen=True):
    stop_reason: str
    content: list[_Block] | None = None
    usage: _AnthropicUsage | None = None


class _AnthropicDelta(Struct, frozen=True):
    stop_reason: str | None = None
    text: str | None = None


class _Start(Struct, frozen=True):
    usage: _AnthropicUsage | None = None


class _AnthropicError(Struct, frozen=True):
    type: str = ""
    message: str = ""


class _AnthropicEvent(Struct, frozen=True):
    """The parts of an event that the gateway meters."""

    type: str
    message: _Start | None = None
    content_block: _Block | None = None
    delta: _AnthropicDelta | None = None
    usage: _AnthropicUsage | None = None
    error: _AnthropicError | None = None


def _known(before: TokenCounts | None, found: _AnthropicUsage | None) -> TokenCounts | None:
    """Return the figures known before, updated with those in `found`.

    Each is a running total, not an increment. One that is null or 0 leaves the figure that was known before.
    """
    if found is None:
        return before
    kept = found.cache_creation.ephemeral_1h_input_tokens if found.cache_creation else None
    figures = {
        "input_tokens": counted(found.input_tokens),
        "output_tokens": counted(found.output_tokens),
        "cache_read_tokens": counted(found.cache_read_input_tokens),
        "cache_write_tokens": counted(found.cache_creation_input_tokens),
        "cache_write_1h_tokens": counted(kept),
    }
    return msgspec.structs.replace(before or TokenCounts(), **{name: value for name, value in figures.items() if value})


def _names(blocks: list[_Block]) -> tuple[str, ...]:
    return tuple(block.name or "" for block in blocks if block.type == "tool_use")


def read_body(data: Any) -> AnswerOutcome:
    """Return what a whole message object says."""
    answer = msgspec.convert(data, _AnthropicAnswer)
    blocks = answer.content or []
    outcome = AnswerOutcome(
        usage=_known(None, answer.usage), tools_called=_names(blocks), stop_reason=answer.stop_reason, complete=True
    )
    return listen(outcome, "\n".join(block.text or "" for block in blocks))


def read_event(outcome: AnswerOutcome, data: str) -> AnswerOutcome:
    """Return what is known after one more event. Not every server ends its stream with `message_stop`."""
    event = msgspec.json.decode(data, type=_AnthropicEvent)
    replace = msgspec.structs.replace
    match event.type:
        case "message_start" if event.message:
            outcome = replace(outcome, usage=_known(outcome.usage, event.message.usage))
        case "content_block_start" if event.content_block:
            outcome = replace(outcome, tools_called=outcome.tools_called + _names([event.content_block]))
            outcome = listen(outcome, event.content_block.text or "")
        case "content_block_delta" if event.delta:
            outcome = listen(outcome, event.delta.text or "")
        case "message_delta":
            reason = (event.delta and event.delta.stop_reason) or outcome.stop_reason
            usage = _known(outcome.usage, event.usage)
            outcome = replace(outcome, usage=usage, stop_reason=reason, may_end=reason is not None)
        case "message_stop":
            outcome = replace(outcome, complete=outcome.stop_reason is not None, may_end=False)
        case "error" if event.error:
            outcome = replace(outcome, error=f"{event.error.type}: {event.error.message}")
    return outcome
