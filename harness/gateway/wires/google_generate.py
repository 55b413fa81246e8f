"""Google's generateContent (ai.google.dev, "Generating content" and its streaming as server-sent events)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
    RequestToolResult,
    TokenCounts,
    WireError,
)
from harness.gateway.wires.base import counted, decode, dumps, fragments, stated
from harness.gateway.wires.google_names import one_form
from harness.gateway.wires.guard import check_spelling
from harness.gateway.wires.openai_chat import Cached, disjoint
from harness.gateway.wires.urls import URL_SOURCE, fetched
from harness.gateway.wires.wanted import by_google

NAME: Final = "google_generate"
COUNTED_AS: Final = "totalTokens"
ID_HEADER: Final = None

PATH: Final = re.compile(
    r"/v1(?:beta|alpha)?/(?:models/)?(?P<model>.+):(?P<method>generateContent|streamGenerateContent|countTokens)"
)
"""The path of a request, which names the model. Clients leave out `models/` if the name itself has a slash."""

ERROR_STATUS = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Status word by HTTP status. Any other status is `INVALID_ARGUMENT` below 500, and then `INTERNAL`."""


class _Name(Struct, frozen=True):
    name: str | None = None


class _Response(Struct, frozen=True):
    name: str | None = None
    id: str | None = None
    response: Any = None


class _GooglePart(Struct, frozen=True, rename="camel"):
    text: str | None = None
    function_call: _Name | None = None
    function_response: _Response | None = None


class _Content(Struct, frozen=True):
    role: str | None = None
    parts: list[_GooglePart | None] | None = None

    @property
    def all_parts(self) -> list[_GooglePart]:
        return [part for part in self.parts or () if part]

    @property
    def calls(self) -> bool:
        return self.role == "model" and any(part.function_call for part in self.all_parts)


class _GoogleFunction(Struct, frozen=True, rename="camel"):
    name: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


_FUNCTIONS: Final = "functionDeclarations"


class _Tools(Struct, frozen=True, rename="camel"):
    function_declarations: list[_GoogleFunction] | None = None


class _GoogleBody(Struct, frozen=True):
    contents: list[_Content] | None = None
    tools: list[dict[str, Any]] | None = None


def parse(body: bytes, path: str = "") -> ModelRequest:
    """Return the request in a body and its path. A turn is content with calls. Raise `WireError` if it is not valid.

    A stream is served only as server-sent events (`alt=sse`). All clients ask for these.
    """
    place, _, query = path.partition("?")
    found = PATH.fullmatch(place)
    if found is None:
        raise WireError(f"{place} names no model and method, as /v1beta/models/MODEL:generateContent does")
    raw = one_form(decode(body, dict[str, Any]))
    try:
        data = msgspec.convert(raw, _GoogleBody)
        offered = msgspec.convert(data.tools or [], list[_Tools])
    except msgspec.ValidationError as error:
        raise WireError(f"the request body is not valid: {error}") from None
    stream = found["method"] == "streamGenerateContent"
    if stream and "alt=sse" not in query.split("&"):
        raise WireError("streamGenerateContent is served only with ?alt=sse")
    config, contents = _configured(raw), data.contents or []
    latest = reversed(list(takewhile(lambda content: content.role != "model", reversed(contents))))
    answers = [part.function_response for content in latest for part in content.all_parts if part.function_response]
    wanted = by_google(raw.get("toolConfig"), config)
    return ModelRequest(
        model=found["model"],
        stream=stream,
        tools=wanted.offered(
            OfferedTool(function.name or "", function.parameters_json_schema or function.parameters or {})
            for tools in offered
            for function in tools.function_declarations or ()
        ),
        opening=next((_text(content) for content in contents if content.role != "model"), ""),
        turn=sum(content.calls for content in contents),
        results=tuple(RequestToolResult(one.id or one.name or "", _said(one.response)) for one in answers),
        hosted=(
            *(
                kind
                for tools in data.tools or ()
                for kind, held in tools.items()
                if kind != _FUNCTIONS and held is not None
            ),
            *([URL_SOURCE] if fetched(raw) else []),
        ),
        max_output=stated(config.get("maxOutputTokens")),
        answers=stated(config.get("candidateCount")) or 1,
        wanted=wanted,
    )


def _configured(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of a request. Raise `WireError` for one in which a name is spelled in another way."""
    config = body.get("generationConfig")
    if not isinstance(config, dict):
        return {}
    check_spelling(config)
    return config


def _text(content: _Content) -> str:
    return "\n".join(part.text for part in content.all_parts if part.text)


def _said(response: Any) -> str:
    """Return what a function answered. Clients put only the text, under a key that each chooses."""
    texts = [value for value in response.values() if isinstance(value, str)] if isinstance(response, dict) else []
    return "\n".join(texts)


def _usage(usage: TokenCounts) -> dict[str, int]:
    """Return the usage as this wire reports it. Cached tokens are part of the prompt, and cache writes are left out."""
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": usage.cache_read_tokens,
        "candidatesTokenCount": usage.output_tokens,
        "totalTokenCount": prompt + usage.output_tokens,
    }


def _parts(reply: Reply) -> Iterator[dict[str, Any]]:
    for call in reply.calls:
        yield {"functionCall": {"id": call.call_id, "name": call.name, "args": dict(call.arguments)}}


def _chunk(reply: Reply, parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **more}
    return {"candidates": [candidate], "modelVersion": reply.model, "responseId": reply.id}


def _finish_reason(reply: Reply) -> str:
    return "MAX_TOKENS" if reply.truncated else "STOP"


def render(reply: Reply) -> dict[str, Any]:
    """Return the reply as a response object."""
    text = [{"text": reply.text}] if reply.text else []
    whole = _chunk(reply, [*text, *_parts(reply)], finishReason=_finish_reason(reply))
    return {**whole, "usageMetadata": _usage(reply.usage)}


def events(reply: Reply, request: ModelRequest) -> Iterator[bytes]:  # noqa: ARG001 (a wire's signature; this one has no options)
    """Yield the reply as response objects with one piece each: texts, whole calls, then the reason and the usage."""
    for piece in fragments(reply.text):
        yield _event(_chunk(reply, [{"text": piece}]))
    for part in _parts(reply):
        yield _event(_chunk(reply, [part]))
    end = _chunk(reply, [{"text": ""}], finishReason=_finish_reason(reply))
    yield _event({**end, "usageMetadata": _usage(reply.usage)})


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {dumps(data)}\r\n\r\n".encode()


def error(status: int, message: str) -> dict[str, Any]:
    """Return the body of an error answer."""
    word = ERROR_STATUS.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    return {"error": {"code": status, "message": message, "status": word}}


def model(name: str) -> dict[str, Any]:
    """Return what the service says about a model."""
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}


def models(name: str) -> dict[str, Any]:
    """Return the list of models. It has only this one."""
    return {"models": [model(name)]}


def count(tokens: int) -> dict[str, Any]:
    """Return the body of an answer that counts tokens."""
    return {COUNTED_AS: tokens}


class _GoogleUsage(Struct, frozen=True, rename="camel"):
    prompt_token_count: Any = None
    tool_use_prompt_token_count: Any = None
    cached_content_token_count: Any = None
    candidates_token_count: Any = None
    thoughts_token_count: Any = None


class _SaidPart(Struct, frozen=True, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    function_call: _Name | None = None


class _Said(Struct, frozen=True):
    parts: list[_SaidPart] | None = None


class _Candidate(Struct, frozen=True, rename="camel"):
    content: _Said | None = None
    finish_reason: str | None = None


class _Feedback(Struct, frozen=True, rename="camel"):
    block_reason: str | None = None


class _GoogleFault(Struct, frozen=True):
    status: str | None = None
    message: str | None = None


class _GoogleAnswer(Struct, frozen=True, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: _GoogleUsage | None = None
    prompt_feedback: _Feedback | None = None
    error: _GoogleFault | None = None


def _known(before: TokenCounts | None, found: _GoogleUsage | None) -> TokenCounts | None:
    """Return the latest counts. Thoughts are output. What the service's tools read is input."""
    if found is None:
        return before
    return disjoint(
        before,
        counted(found.prompt_token_count) + counted(found.tool_use_prompt_token_count),
        counted(found.candidates_token_count) + counted(found.thoughts_token_count),
        Cached(found.cached_content_token_count),
    )


def _after(outcome: AnswerOutcome, answer: _GoogleAnswer) -> AnswerOutcome:
    """Return what is known after one more response object.

    This wire does not mark the end. The usage may come after the reason, and some services never report it.
    """
    candidate = answer.candidates[0] if answer.candidates else _Candidate()
    parts = (candidate.content.parts if candidate.content else None) or []
    reason = candidate.finish_reason or outcome.stop_reason
    complete = outcome.complete or (reason is not None and answer.usage_metadata is not None)
    fault = outcome.error
    if answer.error:
        fault = f"{answer.error.status or 'error'}: {answer.error.message or 'the service gave no reason'}"
    elif answer.prompt_feedback and answer.prompt_feedback.block_reason:
        fault = f"the prompt was blocked: {answer.prompt_feedback.block_reason}"
    outcome = listen(outcome, "".join(part.text or "" for part in parts if not part.thought))
    return msgspec.structs.replace(
        outcome,
        usage=_known(outcome.usage, answer.usage_metadata),
        tools_called=outcome.tools_called
        + tuple(part.function_call.name or "" for part in parts if part.function_call),
        stop_reason=reason,
        complete=complete,
        may_end=reason is not None and not complete,
        error=fault,
    )


def read_body(data: Any) -> AnswerOutcome:
    """Return what a whole response object says."""
    outcome = _after(AnswerOutcome(), msgspec.convert(data, _GoogleAnswer))
    if outcome.stop_reason is None and outcome.error is None:
        raise msgspec.ValidationError("no candidate with a finish reason")
    return msgspec.structs.replace(outcome, complete=outcome.stop_reason is not None, may_end=False)


def read_event(outcome: AnswerOutcome, data: str) -> AnswerOutcome:
    """Return what is known after one more response object."""
    return _after(outcome, msgspec.json.decode(data, type=_GoogleAnswer))
