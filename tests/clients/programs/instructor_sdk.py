"""instructor, which asks for structured answers: by a form of the answer, and by a tool that must be called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import instructor
from anthropic import Anthropic
from cells import KEY, PROMPT, run, used
from google import genai
from openai import OpenAI
from pydantic import BaseModel

ASKED: list[Any] = [{"role": "user", "content": PROMPT}]


class Verdict(BaseModel):
    """What the model is to say."""

    answer: int
    why: str


def _openai(url: str) -> OpenAI:
    return OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)


def _client(url: str, wire: str, *, tool: bool) -> Any:
    mode = instructor.Mode
    match wire:
        case "openai_chat":
            return instructor.from_openai(_openai(url), mode=mode.TOOLS if tool else mode.JSON_SCHEMA)
        case "openai_responses":
            return instructor.from_openai(_openai(url), mode=mode.RESPONSES_TOOLS)
        case "anthropic_messages":
            client = Anthropic(api_key=KEY, base_url=url, max_retries=0)
            return instructor.from_anthropic(client, mode=mode.ANTHROPIC_TOOLS if tool else mode.ANTHROPIC_JSON)
    google = genai.Client(api_key=KEY, http_options={"base_url": url})
    return instructor.from_genai(google, mode=mode.GENAI_TOOLS if tool else mode.GENAI_STRUCTURED_OUTPUTS)


def _ask(url: str, wire: str, *, tool: bool) -> Mapping[str, Any]:
    more: dict[str, Any] = {"max_tokens": 1000} if wire == "anthropic_messages" else {}
    if wire == "openai_responses":
        more = {"store": False}
    create = _client(url, wire, tool=tool).create_with_completion
    verdict, raw = create(model="demo", messages=ASKED, response_model=Verdict, max_retries=0, **more)
    return {"json": verdict.model_dump(), "usage": _usage(raw)}


def _usage(raw: Any) -> dict[str, int]:
    if hasattr(raw, "usage_metadata"):
        return used(raw.usage_metadata.prompt_token_count, raw.usage_metadata.candidates_token_count)
    usage = raw.usage
    if hasattr(usage, "prompt_tokens"):
        return used(usage.prompt_tokens, usage.completion_tokens)
    cached = (getattr(usage, "cache_read_input_tokens", 0) or 0) + (
        getattr(usage, "cache_creation_input_tokens", 0) or 0
    )
    return used(usage.input_tokens + cached, usage.output_tokens)


def structured(url: str, wire: str) -> Mapping[str, Any]:
    return _ask(url, wire, tool=False)


def forced(url: str, wire: str) -> Mapping[str, Any]:
    return _ask(url, wire, tool=True)


if __name__ == "__main__":
    run({"structured": structured, "forced": forced, "error": forced})
