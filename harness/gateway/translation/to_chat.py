"""Translates the requests of CLIs to the Chat Completions API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from harness.gateway.translation import google_chat
from harness.gateway.translation.chat import Chat
from harness.gateway.translation.library import (
    AnthropicAdapter,
    LiteLLMCompletionResponsesConfig,
    bridge_client_tool_search,
    hoist_additional_tools,
)
from harness.gateway.translation.route import model_for, provider_of

Body = Mapping[str, Any]

_ABOUT_THE_STREAM: Final = ("model", "messages", "stream", "stream_options", "custom_llm_provider")

_OF_ANTHROPIC: Final = (
    *("messages", "system", "tools", "tool_choice", "max_tokens", "stop_sequences"),
    *("temperature", "top_p", "top_k", "thinking", "output_config"),
)
"""The parts of a request that have a meaning elsewhere. With others, litellm would ask the model more than once."""


def to_chat(wire: str, body: Body, model: str, upstream: str) -> Chat:
    """Return a request over `wire` as one of the Chat Completions API, whose model is asked over `upstream`.

    It raises whatever litellm raises for a request that it cannot read.
    """
    return _READERS[wire](body, model, upstream)


def _from_chat(body: Body, model: str, upstream: str) -> Chat:  # noqa: ARG001 (the signature of all wires)
    params = _params(body)
    if "max_completion_tokens" in params:
        params["max_tokens"] = params.pop("max_completion_tokens")
    return Chat(list(body["messages"]), params, bool((body.get("stream_options") or {}).get("include_usage")))


def _from_anthropic(body: Body, model: str, upstream: str) -> Chat:
    """Return the request. Its state maps the names of tools that had to be shortened."""
    kept = {name: body[name] for name in _OF_ANTHROPIC if body.get(name) is not None}
    adapter = AnthropicAdapter()
    asked, names = adapter.translate_completion_input_params_with_tool_mapping(
        {**kept, "model": model_for(upstream, model)}, custom_llm_provider=provider_of(upstream)
    )
    return Chat(list(asked["messages"]), _params(asked), names)


def _from_responses(body: Body, model: str, upstream: str) -> Chat:
    """Return the request. Its state is what the model was given and offered, in the words of its own wire."""
    hoisted = hoist_additional_tools(body["input"], body.get("tools"), drop_params=True)
    bridged = bridge_client_tool_search(hoisted.input, hoisted.tools)
    request = {name: value for name, value in body.items() if name not in {"model", "input", "stream"}}
    request["tools"] = list(bridged.tools)
    asked = LiteLLMCompletionResponsesConfig.transform_responses_api_request_to_chat_completion_request(
        model=model_for(upstream, model),
        input=bridged.input,
        responses_api_request=request,
        custom_llm_provider=provider_of(upstream),
        stream=True,
    )
    return Chat(list(asked["messages"]), _params(asked), (bridged.input, request))


def _from_google(body: Body, model: str, upstream: str) -> Chat:  # noqa: ARG001 (the signature of all wires)
    return Chat(google_chat.messages(body), google_chat.params(body))


def _params(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name not in _ABOUT_THE_STREAM and value is not None}


_READERS: Final[Mapping[str, Callable[[Body, str, str], Chat]]] = {
    "openai_chat": _from_chat,
    "openai_responses": _from_responses,
    "anthropic_messages": _from_anthropic,
    "google_generate": _from_google,
}
