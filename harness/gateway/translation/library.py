"""The parts of litellm that translate plain data. Importing this module takes 2 seconds and 150 MB.

litellm reads its settings from the environment when it is imported. Without them, it would fetch a list of prices over
the network and read the `.env` files of the working directory.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_SETTINGS = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}


@contextmanager
def _settings() -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(_SETTINGS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


with _settings():
    import litellm
    from litellm import stream_chunk_builder
    from litellm.completion_extras.litellm_responses_transformation.transformation import (
        LiteLLMResponsesTransformationHandler,
        OpenAiResponsesToChatCompletionStreamIterator,
    )
    from litellm.llms.anthropic.chat.handler import ModelResponseIterator as AnthropicEvents
    from litellm.llms.anthropic.chat.transformation import AnthropicConfig
    from litellm.llms.anthropic.messages.adapters.transformation import AnthropicAdapter
    from litellm.llms.gemini.chat.transformation import GoogleAIStudioGeminiConfig
    from litellm.llms.vertex_ai.gemini.transformation import transform_request_body
    from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import ModelResponseIterator as GoogleEvents
    from litellm.responses.additional_tools import hoist_additional_tools
    from litellm.responses.litellm_completion_transformation.client_tool_search import bridge_client_tool_search
    from litellm.responses.litellm_completion_transformation.streaming_iterator import (
        LiteLLMCompletionStreamingIterator,
    )
    from litellm.responses.litellm_completion_transformation.transformation import LiteLLMCompletionResponsesConfig
    from litellm.types.utils import Delta, Message, ModelResponse, ModelResponseStream, Usage

    for made_late in (Delta, Message):  # pydantic builds their validators on first use, and warns while it does
        made_late(content="")

__all__ = [
    "AnthropicAdapter",
    "AnthropicConfig",
    "AnthropicEvents",
    "GoogleAIStudioGeminiConfig",
    "GoogleEvents",
    "LiteLLMCompletionResponsesConfig",
    "LiteLLMCompletionStreamingIterator",
    "LiteLLMResponsesTransformationHandler",
    "ModelResponse",
    "ModelResponseStream",
    "OpenAiResponsesToChatCompletionStreamIterator",
    "Usage",
    "bridge_client_tool_search",
    "hoist_additional_tools",
    "stream_chunk_builder",
    "transform_request_body",
]

litellm.suppress_debug_info = True  # else it prints advice to standard output


def reasons(model: str) -> bool | None:
    """Return whether a model takes an effort of reasoning, or None if litellm does not list the model."""
    name = model.rpartition("/")[2]
    known = [about for key, about in litellm.model_cost.items() if key.rpartition("/")[2] == name]
    return any(about.get("supports_reasoning") for about in known) if known else None


def is_openais(model: str) -> bool:
    """Return whether litellm lists a model as OpenAI's own. The newest ones know `max_tokens` no more."""
    return bool(litellm.model_cost.get(model, {}).get("litellm_provider") == "openai")


def longest_answer(model: str) -> int | None:
    """Return the most tokens that one answer of a model may have, or None if litellm does not list the model."""
    about = litellm.model_cost.get(model, {})
    most = about.get("max_output_tokens")
    return most if isinstance(most, int) else None
