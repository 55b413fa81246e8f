"""Writes an answer of the Chat Completions API as Google's wire does.

litellm 1.110 does this too, but leaves out the ids of calls, the thoughts and the count of cached tokens.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from harness.gateway.wires.base import dumps

_REASONS: Final = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
"""Google's words for why an answer ended. Any other reason is `STOP`."""


class _Calls:
    """Puts calls together, whose arguments come in pieces. On Google's wire, a call comes whole."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, str]] = {}

    def add(self, pieces: Any) -> None:
        for piece in pieces or ():
            call = self._calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
            call["id"] = call["id"] or piece.id or ""
            call["name"] = call["name"] or piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""

    def parts(self) -> list[dict[str, Any]]:
        return [_call(call["id"], call["name"], call["arguments"]) for _, call in sorted(self._calls.items())]


async def google_events(chunks: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """Yield an answer as server-sent events: texts as they come, then the calls, the reason and the usage."""
    calls = _Calls()
    reason, usage, model, key = "stop", None, "", ""
    async for chunk in chunks:
        model, key = chunk.model, chunk.id
        usage = getattr(chunk, "usage", None) or usage
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            calls.add(choice.delta.tool_calls)
            for part in _texts(choice.delta):
                yield _event(_chunk([part], model, key))
    if usage is None:  # the answer has broken off
        return
    for part in calls.parts():
        yield _event(_chunk([part], model, key))
    end = _chunk([{"text": ""}], model, key, finishReason=_REASONS.get(reason, "STOP"))
    yield _event({**end, "usageMetadata": _usage(usage)})


def google_body(whole: Any) -> dict[str, Any]:
    """Return an answer as one body."""
    [choice] = whole.choices
    calls = [_call(one.id, one.function.name, one.function.arguments) for one in choice.message.tool_calls or ()]
    parts = [*_texts(choice.message), *calls]
    found = _chunk(parts, whole.model, whole.id, finishReason=_REASONS.get(choice.finish_reason, "STOP"))
    return {**found, "usageMetadata": _usage(whole.usage)}


def _texts(said: Any) -> list[dict[str, Any]]:
    thought = getattr(said, "reasoning_content", None)
    found: list[dict[str, Any]] = [{"text": thought, "thought": True}] if thought else []
    return [*found, {"text": said.content}] if said.content else found


def _call(key: str, name: str, arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments or "{}")
    except ValueError:  # the model's own fault, of which the CLI is to tell it
        given = {"arguments": arguments}
    return {"functionCall": {"id": key, "name": name, "args": given if isinstance(given, dict) else {"value": given}}}


def _chunk(parts: list[dict[str, Any]], model: str, key: str, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **more}
    return {"candidates": [candidate], "modelVersion": model, "responseId": key}


def _usage(usage: Any) -> dict[str, int]:
    cached = getattr(usage.prompt_tokens_details, "cached_tokens", None) or 0
    return {
        "promptTokenCount": usage.prompt_tokens,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": usage.completion_tokens,
        "totalTokenCount": usage.total_tokens,
    }


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {dumps(data)}\r\n\r\n".encode()
