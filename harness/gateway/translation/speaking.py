"""Writes chunks of the Chat Completions API as the events, or as the one body, of the CLI's wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

from harness.gateway.messages import ModelRequest
from harness.gateway.translation.chat import Chat
from harness.gateway.translation.google_speech import google_body, google_events
from harness.gateway.translation.library import (
    AnthropicAdapter,
    LiteLLMCompletionResponsesConfig,
    LiteLLMCompletionStreamingIterator,
)
from harness.gateway.translation.ordering import InOrder
from harness.gateway.wires.base import dumps

Chunks = AsyncIterator[Any]

_ECHOED: Final = ("instructions", "tools")
"""What litellm repeats of the request in an answer. No CLI reads it, and it is long."""


class Speaker(Protocol):
    """Writes one answer to a request."""

    def events(self, chunks: Chunks) -> AsyncIterator[bytes]:
        """Yield the answer as server-sent events, as its chunks come."""

    def body(self, whole: Any) -> dict[str, Any]:
        """Return the body of an answer without streaming. `whole` is a `ModelResponse`."""


def speaker(wire: str, chat: Chat, request: ModelRequest) -> Speaker:
    """Return what writes the answer to a request that came over `wire` and was translated to `chat`."""
    match wire:
        case "anthropic_messages":
            return _Anthropic(chat.state, request.model)
        case "openai_responses":
            asked, options = chat.state
            return _Responses(asked, options, request.model)
        case "google_generate":
            return _Google()
    return _Chat(with_usage=bool(chat.state))


class _Chat:
    def __init__(self, *, with_usage: bool) -> None:
        self._with_usage = with_usage

    async def events(self, chunks: Chunks) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            for choice in chunk.choices:
                choice.delta.thinking_blocks = None  # litellm's own, beside `reasoning_content`
            if chunk.choices or self._with_usage:
                yield f"data: {dumps(_dumped(chunk))}\n\n".encode()
        yield b"data: [DONE]\n\n"

    def body(self, whole: Any) -> dict[str, Any]:
        return _dumped(whole)


class _Anthropic:
    def __init__(self, names: dict[str, str], model: str) -> None:
        self._names = names
        self._model = model

    def events(self, chunks: Chunks) -> AsyncIterator[bytes]:
        found: AsyncIterator[bytes] = AnthropicAdapter().translate_completion_output_params_streaming(
            chunks, model=self._model, tool_name_mapping=self._names
        )
        return found

    def body(self, whole: Any) -> dict[str, Any]:
        said = AnthropicAdapter().translate_completion_output_params(whole, tool_name_mapping=self._names)
        return {**said, "model": self._model}


class _Responses:
    def __init__(self, asked: Any, request: dict[str, Any], model: str) -> None:
        self._asked = asked
        self._request = request
        self._model = model

    async def events(self, chunks: Chunks) -> AsyncIterator[bytes]:
        in_order = InOrder()
        async for event in LiteLLMCompletionStreamingIterator(
            model=self._model,
            litellm_custom_stream_wrapper=_Wrapped(chunks),
            request_input=self._asked,
            responses_api_request=self._request,
            custom_llm_provider=None,
        ):
            for data in in_order.add(_without_echo(_dumped(event))):
                yield f"event: {data['type']}\ndata: {dumps(data)}\n\n".encode()

    def body(self, whole: Any) -> dict[str, Any]:
        said = LiteLLMCompletionResponsesConfig.transform_chat_completion_response_to_responses_api_response(
            request_input=self._asked, responses_api_request=self._request, chat_completion_response=whole
        )
        return _shortened(_dumped(said))


class _Wrapped:
    """Chunks in the form in which litellm expects them from its own streams."""

    logging_obj = None

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks

    def __aiter__(self) -> _Wrapped:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._chunks)


class _Google:
    def events(self, chunks: Chunks) -> AsyncIterator[bytes]:
        return google_events(chunks)

    def body(self, whole: Any) -> dict[str, Any]:
        return google_body(whole)


def _without_echo(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "response": _shortened(event["response"])} if "response" in event else event


def _shortened(response: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in response.items() if name not in _ECHOED}


def _dumped(value: Any) -> dict[str, Any]:
    """Return a structure of pydantic as plain data."""
    found: dict[str, Any] = json.loads(value.model_dump_json(exclude_none=True))
    return found
