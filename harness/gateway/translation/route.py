"""What litellm calls the services of each wire."""

from __future__ import annotations

from typing import Final

_PROVIDERS: Final = {
    "openai_chat": "custom_openai",
    "openai_responses": "openai",
    "anthropic_messages": "anthropic",
    "google_generate": "gemini",
}


def provider_of(wire: str) -> str:
    """Return litellm's name for a service of this wire."""
    return _PROVIDERS[wire]


def model_for(wire: str, model: str) -> str:
    """Return a model's name as litellm expects it. The prefix tells it apart from one of the Chat Completions API."""
    return f"responses/{model}" if wire == "openai_responses" else model
