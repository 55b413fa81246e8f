"""OpenAI's Chat Completions API (platform.openai.com, "Chat Completions" and its streaming)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Final

import msgspec
from msgspec import Struct

from harness.gateway.leaks import listen
from harness.gateway.messages import (
    AnswerOutcome,
    ModelRequest,
    OfferedTool,
    Reply,
    ReplyToolCall,
    RequestToolResult,
    TokenCounts,
)
from harness.gateway.wires.base import Extras, counted, decode, dumps, flatten, fragments, opening, stated
from harness.gateway.wires.urls import URL_SOURCE, fetched
from harness.gateway.wires.wanted import by_openai

NAME: Final = "openai_chat"
COUNTED_AS: Final = None
ID_HEADER: Final = "x-request-id"

ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""Error type by status. Any other status is an `invalid_request_error` below 500, and then a `server_error`."""

ERROR_CODES = {
    401: "invalid_api_key",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    503: "service_unavailable",
    504: "timeout",
}
"""Error code by status. Any other status has none below 500, and then `server_error`."""


class _ChatMessage(Struct, frozen=True):
    role: str | None = None
    content: Any = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None


class _ChatFunction(Struct, frozen=True):
    name: str
    parameters: dict[str, Any] | None = None


class _ChatTool(Struct, frozen=True):
    type: str | None = None
    function: _ChatFunction | None = None

    @property
    def kind(self) -> str:
        return self.type or "function"


class _StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class _ChatBody(Extras, frozen=True):
    model: str
    messages: list[_ChatMessage]
    tools: list[_ChatTool] | None = None
    tool_choice: Any = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    web_search_options: Any = None
    max_completion_tokens: Any = None
    max_tokens: Any = None
    response_format: Any = None


def parse(body: bytes, path: str = "") -> ModelRequest:  # noqa: ARG001 (a wire's signature; here the body has everything)
    """Return the request in a body. A turn is an assistant message with tool calls. Raise `WireError` if not valid."""
    data = decode(body, _ChatBody)
    latest = reversed(list(takewhile(lambda message: message.role != "assistant", reversed(data.messages))))
    wanted = by_openai(data.tool_choice, data.response_format)
    return ModelRequest(
        model=data.model,
        stream=bool(data.stream),
        tools=wanted.offered(
            OfferedTool(tool.function.name, tool.function.parameters or {}) if tool.function else OfferedTool(tool.kind)
            for tool in data.tools or ()
        ),
        opening=opening(data.messages),
        turn=sum(message.role == "assistant" and bool(message.tool_calls) for message in data.messages),
        results=tuple(
            RequestToolResult(message.tool_call_id or "", flatten(message.content))
            for message in latest
            if message.role == "tool"
        ),
        stream_usage=data.stream_options is not None and bool(data.stream_options.include_usage),
        hosted=(
            *(tool.kind for tool in data.tools or () if tool.kind not in {"function", "custom"}),
            *(["web_search_options"] if data.web_search_options is not None else []),
            *([URL_SOURCE] if fetched([message.content for message in data.messages]) else []),
            *data.hosted,
        ),
        max_output=stated(data.max_completion_tokens, data.max_tokens),
        answers=data.answers,
        wanted=wanted,
    )


def _usage(usage: TokenCounts) -> dict[str, Any]:
    """Return the usage as this wire reports it. The prompt includes the tokens read from and written to the cache."""
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": kept(usage),
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def kept(usage: TokenCounts) -> dict[str, int]:
    """Return how many tokens of the prompt were read from the cache and written to it."""
    return {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens}


def _call(call: ReplyToolCall, arguments: str) -> dict[str, Any]:
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _finish_reason(reply: Reply) -> str:
    return "length" if reply.truncated else "tool_calls" if reply.calls else "stop"


def render(reply: Reply) -> dict[str, Any]:
    """Return the reply as a chat completion object."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.calls:
        message["tool_calls"] = [_call(call, dumps(dict(call.arguments))) for call in reply.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply)}
    return {**_head(reply, "chat.completion"), "choices": [choice], "usage": _usage(reply.usage)}


def _head(reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": reply.id, "object": kind, "created": reply.created, "model": reply.model}


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if reply.text else None}
    for piece in fragments(reply.text):
        yield {"content": piece}
    for index, call in enumerate(reply.calls):
        yield {"tool_calls": [{"index": index, **_call(call, "")}]}
        for piece in fragments(dumps(dict(call.arguments))):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def events(reply: Reply, request: ModelRequest) -> Iterator[bytes]:
    """Yield the reply as chunks, then a chunk with only the usage if the request asks for it, then `[DONE]`."""
    head = _head(reply, "chat.completion.chunk")

    def chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        extra = {"usage": usage} if request.stream_usage else {}
        return f"data: {dumps({**head, 'choices': choices, **extra})}\n\n".encode()

    for delta in _deltas(reply):
        yield chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}], None)
    yield chunk([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish_reason(reply)}], None)
    if request.stream_usage:
        yield chunk([], _usage(reply.usage))
    yield b"data: [DONE]\n\n"


def error(status: int, message: str) -> dict[str, Any]:
    """Return the body of an error answer."""
    kind, code = ("server_error", "server_error") if status >= 500 else ("invalid_request_error", None)
    kind, code = ERROR_TYPES.get(status, kind), ERROR_CODES.get(status, code)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def model(name: str) -> dict[str, Any]:
    """Return what the service says about a model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "proctor"}


def models(name: str) -> dict[str, Any]:
    """Return the list of models. It has only this one."""
    return {"object": "list", "data": [model(name)]}


def count(tokens: int) -> dict[str, Any]:
    """Return the body of an answer that counts tokens. The service counts them over its other wire only."""
    return {"object": "response.input_tokens", "input_tokens": tokens}


class Cached(Struct, frozen=True):
    """How many of the input tokens were cached."""

    cached_tokens: Any = None
    cache_write_tokens: Any = None


def disjoint(before: TokenCounts | None, sent: Any, output: Any, cached: Cached | None) -> TokenCounts:
    """Return the usage with each token counted once, because OpenAI's wires count cached tokens as sent tokens too.

    Each figure is a running total. One that is null or 0 leaves the figure that was known before.
    """
    known, details = before or TokenCounts(), cached or Cached()
    read = counted(details.cached_tokens) or known.cache_read_tokens
    written = counted(details.cache_write_tokens) or known.cache_write_tokens
    prompt = counted(sent) or known.input_tokens + known.cache_read_tokens + known.cache_write_tokens
    return TokenCounts(
        input_tokens=max(prompt - read - written, 0),
        output_tokens=counted(output) or known.output_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


class _ChatUsage(Struct, frozen=True):
    prompt_tokens: Any = None
    completion_tokens: Any = None
    prompt_tokens_details: Cached | None = None


class _CalledFunction(Struct, frozen=True):
    name: str | None = None


class _Called(Struct, frozen=True):
    function: _CalledFunction | None = None
    index: int | None = None


class _ChatDelta(Struct, frozen=True):
    content: Any = None
    tool_calls: list[_Called | None] | None = None


class _Choice(Struct, frozen=True):
    index: int | None = None
    message: _ChatDelta | None = None
    delta: _ChatDelta | None = None
    finish_reason: str | None = None


class _ChatAnswer(Struct, frozen=True):
    choices: list[_Choice] | None = None
    usage: _ChatUsage | None = None
    error: Any = None


def _known(before: TokenCounts | None, found: _ChatUsage | None) -> TokenCounts | None:
    if found is None:
        return before
    return disjoint(before, found.prompt_tokens, found.completion_tokens, found.prompt_tokens_details)


def _said(outcome: AnswerOutcome, choice: _Choice) -> AnswerOutcome:
    """Return what is known after the text and the calls of one choice.

    A streamed call is told apart by its index, because some servers repeat its name in each chunk.
    """
    part = choice.delta or choice.message or _ChatDelta()
    names, seen = list(outcome.tools_called), set(outcome.calls_seen)
    for call in part.tool_calls or ():
        if call is None or call.function is None or not call.function.name:
            continue
        number = None if call.index is None else (choice.index or 0, call.index)
        if number not in seen:
            names.append(call.function.name)
        if number is not None:
            seen.add(number)
    if len(names) > len(outcome.tools_called):
        outcome = msgspec.structs.replace(outcome, tools_called=tuple(names), calls_seen=frozenset(seen))
    return listen(outcome, flatten(part.content))


def read_body(data: Any) -> AnswerOutcome:
    """Return what a whole chat completion object says."""
    answer = msgspec.convert(data, _ChatAnswer)
    if not answer.choices or not answer.choices[0].finish_reason:
        raise msgspec.ValidationError("no choice with a finish reason")
    outcome = AnswerOutcome(
        usage=_known(None, answer.usage), stop_reason=answer.choices[0].finish_reason, complete=True
    )
    for choice in answer.choices:
        outcome = _said(outcome, choice)
    return outcome


def read_event(outcome: AnswerOutcome, data: str) -> AnswerOutcome:
    """Return what is known after one more chunk. Not every server ends its stream with `[DONE]`."""
    if data == "[DONE]":
        return msgspec.structs.replace(outcome, complete=outcome.stop_reason is not None, may_end=False)
    answer = msgspec.json.decode(data, type=_ChatAnswer)
    choices = answer.choices or []
    for choice in choices:
        outcome = _said(outcome, choice)
    reason = next((choice.finish_reason for choice in choices if choice.finish_reason), outcome.stop_reason)
    return msgspec.structs.replace(
        outcome,
        usage=_known(outcome.usage, answer.usage),
        stop_reason=reason,
        may_end=reason is not None and not outcome.complete,
        error=str(answer.error) if answer.error else outcome.error,
    )
