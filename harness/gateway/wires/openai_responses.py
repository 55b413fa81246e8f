"""OpenAI's Responses API (platform.openai.com, "Responses" and its streaming events)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile
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
    WireError,
)
from harness.gateway.wires.base import Extras, decode, dumps, flatten, fragments, stated
from harness.gateway.wires.openai_chat import ID_HEADER, Cached, count, disjoint, error, kept, model, models
from harness.gateway.wires.urls import URL_SOURCE, fetched
from harness.gateway.wires.wanted import by_openai

__all__ = [
    "COUNTED_AS",
    "ID_HEADER",
    "NAME",
    "count",
    "error",
    "events",
    "model",
    "models",
    "parse",
    "read_body",
    "read_event",
    "render",
]

NAME: Final = "openai_responses"
COUNTED_AS: Final = "input_tokens"

_CALLS: Final = {"function_call", "custom_tool_call", "local_shell_call", "mcp_call", "web_search_call"}
_OUTPUTS: Final = {"reasoning", *_CALLS}
"""Kinds of item that only a model writes. For a message, the role says who wrote it."""


_CLIENT_TOOLS: Final = {"function", "custom", "local_shell", "apply_patch", "tool_search"}


class _Item(Struct, frozen=True):
    type: str | None = None
    role: str | None = None
    content: Any = None
    call_id: str | None = None
    output: Any = None
    tools: list[_ResponsesTool] | None = None

    @property
    def kind(self) -> str:
        return self.type or "message"

    @property
    def by_model(self) -> bool:
        return self.kind in _OUTPUTS or self.role == "assistant"


class _ResponsesTool(Struct, frozen=True):
    """A function, a namespace of functions, or a tool that the service or a grammar provides."""

    type: str | None = None
    name: str | None = None
    parameters: dict[str, Any] | None = None
    tools: list[_ResponsesTool] | None = None

    @property
    def kind(self) -> str:
        return self.type or "a tool without a type"


class _Text(Struct, frozen=True):
    format: Any = None


class _ResponsesBody(Extras, frozen=True):
    model: str | None = None
    input: str | list[_Item] | None = None
    tools: list[_ResponsesTool] | None = None
    tool_choice: Any = None
    stream: bool | None = None
    background: bool | None = None
    max_output_tokens: Any = None
    text: _Text | None = None


def parse(body: bytes, path: str = "") -> ModelRequest:  # noqa: ARG001 (a wire's signature; here the body has everything)
    """Return the request in a body. A turn is a row of items that the model wrote. Raise `WireError` if not valid.

    Clients put their own remarks before a user's first words. So all user text before the first turn is the opening of
    the conversation. A function in a namespace is named `NAMESPACE.FUNCTION`. Tools other than functions have no
    schema. Some clients (Codex, for models that it knows) offer their tools in an item of the conversation.
    """
    data = decode(body, _ResponsesBody)
    if data.background:
        raise WireError("background: such answers are not served, because the gateway could not count them")
    if not data.model:
        raise WireError("model: the request names no model; name the one of this session")
    items = [_Item(role="user", content=data.input)] if isinstance(data.input, str) else data.input or []
    if any(item.type == "item_reference" for item in items):
        raise WireError("item_reference: this session uses nothing that the service keeps; send the item itself")
    offered = [*(data.tools or ()), *(tool for item in items for tool in item.tools or ())]
    wanted = by_openai(data.tool_choice, data.text and data.text.format)
    before = takewhile(lambda item: not item.by_model, items)
    answers = reversed(list(takewhile(lambda item: item.kind.endswith("_output"), reversed(items))))
    return ModelRequest(
        model=data.model,
        stream=bool(data.stream),
        tools=wanted.offered(_tools(offered)),
        opening="\n".join(flatten(item.content) for item in before if item.role == "user"),
        turn=sum(by_model for by_model, _ in groupby(items, lambda item: item.by_model)),
        results=tuple(RequestToolResult(item.call_id or "", flatten(item.output)) for item in answers),
        hosted=(
            *_hosted(offered),
            *([URL_SOURCE] if fetched([[item.content, item.output] for item in items]) else []),
            *data.hosted,
        ),
        max_output=stated(data.max_output_tokens),
        answers=data.answers,
        wanted=wanted,
    )


def _tools(tools: Iterable[_ResponsesTool], namespace: str = "") -> Iterator[OfferedTool]:
    for tool in tools:
        if tool.type == "namespace":
            yield from _tools(tool.tools or (), f"{tool.name}.")
        else:
            yield OfferedTool(namespace + (tool.name or tool.kind), tool.parameters or {})


def _hosted(tools: Iterable[_ResponsesTool]) -> Iterator[str]:
    for tool in tools:
        if tool.type == "namespace":
            yield from _hosted(tool.tools or ())
        elif tool.type not in _CLIENT_TOOLS:
            yield tool.kind


def _usage(usage: TokenCounts) -> dict[str, Any]:
    """Return the usage as this wire reports it. The input includes the tokens read from and written to the cache."""
    sent = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "input_tokens": sent,
        "input_tokens_details": kept(usage),
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sent + usage.output_tokens,
    }


def _message(reply: Reply, text: str, status: str) -> dict[str, Any]:
    content = [_part(text)] if status == "completed" else []
    return {"id": f"msg_{reply.id}", "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(call: ReplyToolCall, arguments: str, status: str) -> dict[str, Any]:
    namespace, _, name = call.name.rpartition(".")
    item = {"id": f"fc_{call.call_id}", "type": "function_call", "status": status, "call_id": call.call_id}
    named = {"namespace": namespace, "name": name} if namespace else {"name": call.name}
    return {**item, **named, "arguments": arguments}


def _arguments(call: ReplyToolCall) -> str:
    return dumps(dict(call.arguments))


def render(reply: Reply) -> dict[str, Any]:
    """Return the reply as a response object."""
    output = [_message(reply, reply.text, "completed")] if reply.text else []
    output += [_call(call, _arguments(call), "completed") for call in reply.calls]
    head = _head(reply, _status(reply))
    if reply.truncated:
        head["incomplete_details"] = {"reason": "max_output_tokens"}
    return {**head, "output": output, "usage": _usage(reply.usage)}


def _status(reply: Reply) -> str:
    return "incomplete" if reply.truncated else "completed"


def _head(reply: Reply, status: str) -> dict[str, Any]:
    return {
        "id": reply.id,
        "object": "response",
        "created_at": reply.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": reply.model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }


def _stream(reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind and the data of each event, without its sequence number."""
    yield "response.created", {"response": _head(reply, "in_progress")}
    yield "response.in_progress", {"response": _head(reply, "in_progress")}
    if reply.text:
        yield from _text_events(reply)
    for index, call in enumerate(reply.calls, start=1 if reply.text else 0):
        yield from _call_events(call, index)
    yield f"response.{_status(reply)}", {"response": render(reply)}


def _text_events(reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    started, done = (_message(reply, reply.text, status) for status in ("in_progress", "completed"))
    place = {"item_id": done["id"], "output_index": 0, "content_index": 0}
    yield "response.output_item.added", {"output_index": 0, "item": started}
    yield "response.content_part.added", {**place, "part": _part("")}
    for piece in fragments(reply.text):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**place, "text": reply.text, "logprobs": []}
    yield "response.content_part.done", {**place, "part": _part(reply.text)}
    yield "response.output_item.done", {"output_index": 0, "item": done}


def _call_events(call: ReplyToolCall, index: int) -> Iterator[tuple[str, dict[str, Any]]]:
    arguments = _arguments(call)
    done = _call(call, arguments, "completed")
    place = {"item_id": done["id"], "output_index": index}
    yield "response.output_item.added", {"output_index": index, "item": _call(call, "", "in_progress")}
    for piece in fragments(arguments):
        yield "response.function_call_arguments.delta", {**place, "delta": piece}
    yield "response.function_call_arguments.done", {**place, "name": done["name"], "arguments": arguments}
    yield "response.output_item.done", {"output_index": index, "item": done}


def events(reply: Reply, request: ModelRequest) -> Iterator[bytes]:  # noqa: ARG001 (a wire's signature; this one has no options)
    """Yield the reply as the service streams it: created, a group of events for each item, completed with all of it."""
    for number, (kind, data) in enumerate(_stream(reply)):
        yield f"event: {kind}\ndata: {dumps({'type': kind, 'sequence_number': number, **data})}\n\n".encode()


class _ResponsesUsage(Struct, frozen=True):
    input_tokens: Any = None
    output_tokens: Any = None
    input_tokens_details: Cached | None = None


class _Output(Struct, frozen=True):
    type: str
    name: str | None = None
    namespace: str | None = None
    content: Any = None


class _Reason(Struct, frozen=True):
    reason: str = ""


class _ResponsesFault(Struct, frozen=True):
    code: str | None = None
    message: str | None = None


class _ResponsesAnswer(Struct, frozen=True):
    status: str
    output: list[_Output] | None = None
    usage: _ResponsesUsage | None = None
    incomplete_details: _Reason | None = None
    error: _ResponsesFault | None = None


class _ResponsesEvent(Struct, frozen=True):
    """The parts of an event that the gateway meters. An `error` event has its fault next to its type."""

    type: str
    item: _Output | None = None
    response: _ResponsesAnswer | None = None
    delta: Any = None
    code: str | None = None
    message: str | None = None


_ENDS: Final = {"response.completed", "response.incomplete"}


def _known(before: TokenCounts | None, found: _ResponsesUsage | None) -> TokenCounts | None:
    if found is None:
        return before
    return disjoint(before, found.input_tokens, found.output_tokens, found.input_tokens_details)


def _names(items: Iterable[_Output]) -> tuple[str, ...]:
    return tuple(
        f"{item.namespace}.{item.name}" if item.namespace else item.name or item.type
        for item in items
        if item.type in _CALLS
    )


def read_body(data: Any) -> AnswerOutcome:
    """Return what a whole response object says. A failed response has an error and is not complete."""
    answer = msgspec.convert(data, _ResponsesAnswer)
    outcome = AnswerOutcome()
    for item in answer.output or ():
        outcome = listen(outcome, flatten(item.content))
    return _ended(outcome, answer)


def _ended(outcome: AnswerOutcome, answer: _ResponsesAnswer) -> AnswerOutcome:
    """Return what is known after the whole response. Some servers stream no event for an item that is done."""
    outcome = msgspec.structs.replace(
        outcome,
        usage=_known(outcome.usage, answer.usage),
        tools_called=outcome.tools_called or _names(answer.output or ()),
    )
    if answer.status not in {"completed", "incomplete"}:
        fault = answer.error or _ResponsesFault(message=f"the response is {answer.status}")
        return msgspec.structs.replace(outcome, error=_fault(fault.code, fault.message))
    reason = answer.incomplete_details.reason if answer.incomplete_details else ""
    return msgspec.structs.replace(outcome, stop_reason=reason or answer.status, complete=True)


def _fault(code: str | None, message: str | None) -> str:
    said = message or "the service gave no reason"
    return f"{code}: {said}" if code else said


def read_event(outcome: AnswerOutcome, data: str) -> AnswerOutcome:
    """Return what is known after one more event."""
    event = msgspec.json.decode(data, type=_ResponsesEvent)
    replace = msgspec.structs.replace
    if event.type == "response.output_item.done" and event.item:
        return replace(outcome, tools_called=outcome.tools_called + _names([event.item]))
    if event.type in _ENDS or event.type == "response.failed":
        if event.response is None:
            raise msgspec.ValidationError(f"{event.type} without a response")
        return _ended(outcome, event.response)
    if event.type == "response.output_text.delta" and isinstance(event.delta, str):
        return listen(outcome, event.delta)
    if event.type == "error":
        return replace(outcome, error=_fault(event.code, event.message))
    return outcome
