"""Reads the events of a provider's streamed answer as chunks of the Chat Completions API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final

from harness.gateway.messages import TokenCounts
from harness.gateway.translation.library import (
    AnthropicEvents,
    GoogleEvents,
    ModelResponseStream,
    OpenAiResponsesToChatCompletionStreamIterator,
    Usage,
)
from harness.gateway.translation.memory import Signatures

Parse = Callable[[dict[str, Any]], Any]

_DONE: Final = "[DONE]"


class Hearer:
    """Reads one answer. `finish_reason` is the last one that the provider gave, in the words of the Chat API.

    `signatures` collects what the provider signs.
    """

    def __init__(self, upstream: str, model: str) -> None:
        self.finish_reason = "stop"
        self.signatures = Signatures()
        self._parse: Parse = _PARSERS[upstream]()
        self._model = model
        self._id: str | None = None

    def hear(self, event: str) -> ModelResponseStream | None:
        """Return what an event adds to the answer, or None if it adds nothing.

        It raises whatever litellm raises for an event that it cannot read.
        """
        if event == _DONE:
            return None
        chunk = self._parse(json.loads(event))
        if chunk is None or not chunk.choices:
            return None
        choice = chunk.choices[0]
        self.finish_reason = choice.finish_reason or self.finish_reason
        choice.finish_reason = None
        chunk.choices = [choice]
        chunk.usage = None
        self.signatures.take(choice.delta)
        return self._named(chunk) if _says_something(choice.delta) else None

    def ends(self, usage: TokenCounts) -> list[ModelResponseStream]:
        """Return the last chunks: the reason why the answer ended, and the usage."""
        end = ModelResponseStream(choices=[{"index": 0, "delta": {}, "finish_reason": self.finish_reason}])
        counted = ModelResponseStream(choices=[])
        counted.usage = _usage(usage)
        return [self._named(end), self._named(counted)]

    def _named(self, chunk: Any) -> Any:
        self._id = self._id or chunk.id
        chunk.id, chunk.model = self._id, self._model
        return chunk


def _says_something(delta: Any) -> bool:
    names = ("content", "tool_calls", "reasoning_content", "thinking_blocks", "refusal")
    return any(getattr(delta, name, None) for name in names)


def _usage(usage: TokenCounts) -> Any:
    """Return the usage that the gateway has metered, so that the CLI is told the same."""
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=usage.output_tokens,
        total_tokens=prompt + usage.output_tokens,
        prompt_tokens_details={
            "cached_tokens": usage.cache_read_tokens,
            "cache_creation_tokens": usage.cache_write_tokens,
        },
        cache_read_input_tokens=usage.cache_read_tokens,
        cache_creation_input_tokens=usage.cache_write_tokens,
    )


def _of_chat() -> Parse:
    return lambda event: ModelResponseStream(**event)


def _of_responses() -> Parse:
    return OpenAiResponsesToChatCompletionStreamIterator(  # type: ignore[no-any-return]
        None, sync_stream=False, streams_reasoning_signatures=True
    ).chunk_parser


def _of_anthropic() -> Parse:
    return AnthropicEvents(None, sync_stream=False).chunk_parser  # type: ignore[no-any-return]


def _of_google() -> Parse:
    asked = SimpleNamespace(optional_params={}, litellm_params={}, model_call_details={})
    return GoogleEvents(None, sync_stream=False, logging_obj=asked).chunk_parser  # type: ignore[no-any-return]


_PARSERS: Final[Mapping[str, Callable[[], Parse]]] = {
    "openai_chat": _of_chat,
    "openai_responses": _of_responses,
    "anthropic_messages": _of_anthropic,
    "google_generate": _of_google,
}
