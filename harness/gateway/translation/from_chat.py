"""Translates requests of the Chat Completions API to those of a provider's wire. They always ask for a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from harness.gateway.translation.chat import Chat, instructions, plain, with_objects, with_systems
from harness.gateway.translation.library import (
    AnthropicConfig,
    GoogleAIStudioGeminiConfig,
    LiteLLMResponsesTransformationHandler,
    is_openais,
    longest_answer,
    reasons,
    transform_request_body,
)

LONGEST: Final = 32_000
"""The most tokens of an answer over Anthropic's wire, which needs a number, if the CLI gives none.

The service takes them from the context. So it must not be all that the model could write.
"""

_CHAT: Final = (
    *("tools", "tool_choice", "parallel_tool_calls", "max_tokens", "temperature", "top_p", "stop", "seed"),
    "reasoning_effort",
)
_RESPONSES: Final = (
    *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens"),
    *("temperature", "top_p", "reasoning", "text"),
)
_ANTHROPIC: Final = (
    *("model", "messages", "system", "tools", "tool_choice", "max_tokens", "temperature", "top_p", "top_k"),
    *("stop_sequences", "thinking", "output_config"),
)
_GOOGLE: Final = ("contents", "tools", "toolConfig", "generationConfig")
_OF_GOOGLE_CONFIG: Final = (
    *("maxOutputTokens", "temperature", "topP", "topK", "stopSequences", "seed", "thinkingConfig"),
)
_FREE: Final = frozenset(("args", "response", "parameters", "parametersJsonSchema"))
"""Keys of Google's wire whose contents belong to the tools."""


class Sent(Struct, frozen=True):
    """A request to a provider: the path with its query, the headers of the wire itself, and the body."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


def from_chat(chat: Chat, model: str, upstream: str) -> Sent:
    """Return the request to a provider's model over `upstream`.

    It raises whatever litellm raises for a request that it cannot translate.
    """
    asked, most = chat.params.get("max_tokens"), longest_answer(model)
    if asked is not None and most is not None:  # services refuse a limit that the model does not have
        chat = msgspec.structs.replace(chat, params={**chat.params, "max_tokens": min(asked, most)})
    return _WRITERS[upstream](chat, model)


def _to_chat(chat: Chat, model: str) -> Sent:
    kept = _only(chat.params, _CHAT)
    if reasons(model) is not True:
        kept.pop("reasoning_effort", None)
    if "max_tokens" in kept and is_openais(model):
        kept["max_completion_tokens"] = kept.pop("max_tokens")
    if "tools" not in kept:
        kept.pop("tool_choice", None)
        kept.pop("parallel_tool_calls", None)
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    return Sent("/v1/chat/completions", {}, {"model": model, "messages": plain(chat.messages), **kept, **stream})


def _to_responses(chat: Chat, model: str) -> Sent:
    params = dict(chat.params)
    if reasons(model) is False:
        params.pop("reasoning_effort", None)
    body = LiteLLMResponsesTransformationHandler().transform_request(
        model=model,
        messages=chat.messages,
        optional_params=params,
        litellm_params={"custom_llm_provider": "openai", "drop_params": True},
        headers={},
        litellm_logging_obj=None,
    )
    kept = _only(body, _RESPONSES)
    if "tools" in kept:  # by default, the service would take every schema as a strict one
        kept["tools"] = [{**tool, "strict": bool(tool.get("strict"))} for tool in kept["tools"]]
    if reasons(model) is not False:  # OpenAI refuses this for other models
        kept["include"] = ["reasoning.encrypted_content"]
    return Sent("/v1/responses", {}, {**kept, "stream": True, "store": False})


def _to_anthropic(chat: Chat, model: str) -> Sent:
    config = AnthropicConfig()
    longest = min(longest_answer(model) or LONGEST, LONGEST)
    params = {"max_tokens": longest, **_without_format(chat.params)}
    mapped = config.map_openai_params(non_default_params=params, optional_params={}, model=model, drop_params=True)
    body = config.transform_request(
        model=model,
        messages=with_objects(with_systems(chat.messages)),
        optional_params=mapped,
        litellm_params={},
        headers={},
    )
    kept = {**_only(body, _ANTHROPIC), "stream": True}
    if not _may_think(kept["messages"]):
        kept.pop("thinking", None)
    return Sent("/v1/messages", {"anthropic-version": "2023-06-01"}, kept)


def _may_think(messages: list[dict[str, Any]]) -> bool:
    """Return whether the model may think. It must not if the turn that goes on has begun without a signed thought."""
    last = next((one["content"] for one in reversed(messages) if one["role"] == "assistant"), None)
    kinds = [block["type"] for block in last] if isinstance(last, list) else []
    return "tool_use" not in kinds or kinds[0] in {"thinking", "redacted_thinking"}


def _to_google(chat: Chat, model: str) -> Sent:
    messages = with_objects(with_systems(chat.messages))
    config = GoogleAIStudioGeminiConfig()
    mapped = config.map_openai_params(
        non_default_params=_without_format(chat.params), optional_params={}, model=model, drop_params=True
    )
    body = _camel(
        transform_request_body(
            messages=[one for one in messages if one["role"] != "system"],
            model=model,
            optional_params=mapped,
            custom_llm_provider="gemini",
            litellm_params={},
            cached_content=None,
        )
    )
    kept = _only(body, _GOOGLE)
    if "generationConfig" in kept:
        kept["generationConfig"] = _only(kept["generationConfig"], _OF_GOOGLE_CONFIG)
    if system := instructions(messages):
        kept["systemInstruction"] = {"parts": [{"text": system}]}
    return Sent(f"/v1beta/models/{model}:streamGenerateContent?alt=sse", {}, kept)


def _without_format(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "response_format"}


def _only(body: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: body[name] for name in names if body.get(name) is not None}


def _camel(value: Any) -> Any:
    """Return a body with the documented names, where litellm has written `function_call` for `functionCall`."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = ((_camel_name(name), inner) for name, inner in value.items())
    return {name: inner if name in _FREE else _camel(inner) for name, inner in named}


def _camel_name(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


_WRITERS: Final[Mapping[str, Callable[[Chat, str], Sent]]] = {
    "openai_chat": _to_chat,
    "openai_responses": _to_responses,
    "anthropic_messages": _to_anthropic,
    "google_generate": _to_google,
}
