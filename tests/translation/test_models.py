"""Requests fit the model that they go to, as far as litellm knows it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.gateway.translation.from_chat import LONGEST, from_chat
from harness.gateway.translation.to_chat import to_chat
from tests.translation.conversations import Talk, written

pytestmark = pytest.mark.translate

THINKING = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "max_tokens": 32_000}
REASONING = {"reasoning": {"effort": "medium"}}


def sent(wire: str, spoken: str, model: str, **more: Any) -> dict[str, Any]:
    """Return the body that reaches a model, of a request with these fields."""
    body = {**written(wire, Talk("You are an agent.", "Solve the maze.")), **more}
    return from_chat(to_chat(wire, body, model, spoken), model, spoken).body


@pytest.mark.parametrize(
    ("model", "limit", "tokens", "effort"),
    [
        ("gpt-5", "max_completion_tokens", 32_000, "high"),
        ("gpt-4.1", "max_completion_tokens", 32_000, None),
        ("deepseek-chat", "max_tokens", 8_192, "high"),
        ("nobody-knows-this", "max_tokens", 32_000, None),
    ],
)
def test_over_chat(model: str, limit: str, tokens: int, effort: str | None) -> None:
    body = sent("anthropic_messages", "openai_chat", model, **THINKING)
    assert (body[limit], body.get("reasoning_effort")) == (tokens, effort)


@pytest.mark.parametrize(
    ("model", "effort", "kept"),
    [("gpt-5", "high", True), ("gpt-4.1", None, False), ("nobody-knows-this", "high", True)],
)
def test_over_responses(model: str, effort: str | None, *, kept: bool) -> None:
    body = sent("anthropic_messages", "openai_responses", model, **THINKING)
    assert (body.get("reasoning", {}).get("effort"), "include" in body, body["store"]) == (effort, kept, False)


def test_over_google() -> None:
    thinking = sent("anthropic_messages", "google_generate", "gemini-3-pro-preview", **THINKING)
    assert thinking["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "high", "includeThoughts": True}
    counting = sent("openai_responses", "google_generate", "gemini-2.5-flash", **REASONING)
    assert counting["generationConfig"]["thinkingConfig"]["thinkingBudget"] > 0


def test_over_anthropics_wire() -> None:
    body = sent("openai_responses", "anthropic_messages", "claude-opus-5-5", **REASONING)
    assert (body["max_tokens"], body["output_config"]) == (LONGEST, {"effort": "medium"})
    assert body["thinking"]["type"] == "adaptive"
    assert sent("openai_responses", "anthropic_messages", "nobody-knows-this", **REASONING)["max_tokens"] == LONGEST
