"""LiteLLM, over every wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import litellm
from cells import ADD, KEY, PROMPT, SHOUT, VERDICT, run, total, used

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in (("add", ADD), ("shout", SHOUT))
]
litellm.suppress_debug_info = True
ASKED: list[Any] = [{"role": "user", "content": PROMPT}]
WHERE = {
    "openai_chat": ("openai/demo", "/v1"),
    "openai_responses": ("openai/responses/demo", "/v1"),
    "anthropic_messages": ("anthropic/demo", ""),
    "google_generate": ("gemini/demo", "/v1beta"),
}


def _ask(url: str, wire: str, **more: Any) -> Any:
    name, path = WHERE[wire]
    asked = {"model": name, "messages": ASKED, "api_key": KEY, "api_base": url + path, "num_retries": 0}
    return litellm.completion(**asked | more)


def _usage(answer: Any) -> dict[str, int]:
    return used(answer.usage.prompt_tokens, answer.usage.completion_tokens)


def text(url: str, wire: str) -> Mapping[str, Any]:
    answer = _ask(url, wire)
    return {"text": answer.choices[0].message.content, "usage": _usage(answer)}


def stream(url: str, wire: str) -> Mapping[str, Any]:
    chunks = list(_ask(url, wire, stream=True, stream_options={"include_usage": True}))
    answer = litellm.stream_chunk_builder(chunks)
    return {"text": answer.choices[0].message.content, "usage": _usage(answer)}


def silent(url: str, wire: str) -> Mapping[str, Any]:
    chunks = list(_ask(url, wire, stream=True))
    return {"text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks)}


def tools(url: str, wire: str) -> Mapping[str, Any]:
    first = _ask(url, wire, tools=TOOLS)
    message = first.choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in message.tool_calls]
    second = _ask(url, wire, messages=[*ASKED, message.model_dump(), *results], tools=TOOLS)
    return {
        "calls": [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls],
        "text": second.choices[0].message.content,
        "usage": total(_usage(first), _usage(second)),
    }


def structured(url: str, wire: str) -> Mapping[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT, "strict": True}}
    answer = _ask(url, wire, response_format=form)
    return {"json": json.loads(answer.choices[0].message.content), "usage": _usage(answer)}


def forced(url: str, wire: str) -> Mapping[str, Any]:
    """Ask for JSON as the arguments of a tool that must be called."""
    verdict = {"type": "function", "function": {"name": "verdict", "parameters": VERDICT}}
    choice = {"type": "function", "function": {"name": "verdict"}}
    answer = _ask(url, wire, tools=[*TOOLS, verdict], tool_choice=choice)
    [call] = answer.choices[0].message.tool_calls
    return {"json": json.loads(call.function.arguments), "usage": _usage(answer)}


def short(url: str, wire: str) -> Mapping[str, Any]:
    """Limit the answer to 8 tokens, which cut it."""
    answer = _ask(url, wire, max_tokens=8)
    return {"truncated": answer.choices[0].finish_reason == "length", "usage": _usage(answer)}


if __name__ == "__main__":
    run(
        {
            "text": text,
            "stream": stream,
            "silent": silent,
            "tools": tools,
            "structured": structured,
            "forced": forced,
            "short": short,
            "error": text,
            "page": text,
        }
    )
