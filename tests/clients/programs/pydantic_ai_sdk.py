"""pydantic-ai, over every wire."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cells import KEY, PROMPT, run, used
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput, capture_run_messages
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Verdict(BaseModel):
    """What the model is to say."""

    answer: int
    why: str


def _model(url: str, wire: str) -> Any:
    match wire:
        case "openai_chat":
            return OpenAIChatModel("demo", provider=OpenAIProvider(api_key=KEY, base_url=f"{url}/v1"))
        case "openai_responses":
            provider = OpenAIProvider(api_key=KEY, base_url=f"{url}/v1")
            return OpenAIResponsesModel("demo", provider=provider, settings={"openai_store": False})
        case "anthropic_messages":
            return AnthropicModel("demo", provider=AnthropicProvider(api_key=KEY, base_url=url))
    return GoogleModel("demo", provider=GoogleProvider(api_key=KEY, base_url=url))


def _usage(result: Any) -> dict[str, int]:
    usage = result.usage() if callable(result.usage) else result.usage
    return used(usage.input_tokens, usage.output_tokens)


def text(url: str, wire: str) -> Mapping[str, Any]:
    result = Agent(_model(url, wire)).run_sync(PROMPT)
    return {"text": result.output, "usage": _usage(result)}


def stream(url: str, wire: str) -> Mapping[str, Any]:
    async def ask() -> Mapping[str, Any]:
        async with Agent(_model(url, wire)).run_stream(PROMPT) as result:
            return {"text": await result.get_output(), "usage": _usage(result)}

    return asyncio.run(ask())


def tools(url: str, wire: str) -> Mapping[str, Any]:
    calls: list[Any] = []
    agent = Agent(_model(url, wire))

    @agent.tool_plain
    def add(a: int, b: int) -> str:
        calls.append(["add", {"a": a, "b": b}])
        return "ok"

    @agent.tool_plain
    def shout(text: str) -> str:
        calls.append(["shout", {"text": text}])
        return "ok"

    result = agent.run_sync(PROMPT)
    return {"calls": sorted(calls), "text": result.output, "usage": _usage(result)}


def structured(url: str, wire: str) -> Mapping[str, Any]:
    result = Agent(_model(url, wire), output_type=NativeOutput(Verdict)).run_sync(PROMPT)
    return {"json": result.output.model_dump(), "usage": _usage(result)}


def forced(url: str, wire: str) -> Mapping[str, Any]:
    """Ask for JSON as the arguments of a tool that must be called."""
    result = Agent(_model(url, wire), output_type=ToolOutput(Verdict)).run_sync(PROMPT)
    return {"json": result.output.model_dump(), "usage": _usage(result)}


def short(url: str, wire: str) -> Mapping[str, Any]:
    """Limit the answer to 8 tokens, which cut it."""
    with capture_run_messages() as messages:
        result = Agent(_model(url, wire)).run_sync(PROMPT, model_settings={"max_tokens": 8})
    return {"truncated": messages[-1].finish_reason == "length", "usage": _usage(result)}


if __name__ == "__main__":
    run(
        {
            "text": text,
            "stream": stream,
            "silent": stream,
            "tools": tools,
            "structured": structured,
            "forced": forced,
            "short": short,
            "error": text,
            "page": text,
        }
    )
