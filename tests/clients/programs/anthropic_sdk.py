"""Anthropic's own client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from anthropic import Anthropic
from cells import ADD, KEY, PROMPT, SHOUT, VERDICT, run, total, used

TOOLS: list[Any] = [{"name": "add", "input_schema": ADD}, {"name": "shout", "input_schema": SHOUT}]
ASKED: list[Any] = [{"role": "user", "content": PROMPT}]


def client(url: str) -> Anthropic:
    return Anthropic(api_key=KEY, base_url=url, max_retries=0)


def _ask(url: str, **more: Any) -> Any:
    return client(url).messages.create(**{"model": "demo", "max_tokens": 1000, "messages": ASKED} | more)


def _usage(message: Any) -> dict[str, int]:
    usage = message.usage
    sent = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return used(sent, usage.output_tokens)


def _text(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def text(url: str, wire: str) -> Mapping[str, Any]:
    message = _ask(url)
    assert message._request_id
    return {"text": _text(message), "usage": _usage(message)}


def stream(url: str, wire: str) -> Mapping[str, Any]:
    with client(url).messages.stream(model="demo", max_tokens=1000, messages=ASKED) as events:
        message = events.get_final_message()
    return {"text": _text(message), "usage": _usage(message)}


def tools(url: str, wire: str) -> Mapping[str, Any]:
    first = _ask(url, tools=TOOLS)
    calls = [block for block in first.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "ok"} for call in calls]
    said = [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = _ask(url, tools=TOOLS, messages=[*ASKED, *said])
    usage = total(_usage(first), _usage(second))
    return {"calls": [[call.name, call.input] for call in calls], "text": _text(second), "usage": usage}


def structured(url: str, wire: str) -> Mapping[str, Any]:
    message = _ask(url, output_config={"format": {"type": "json_schema", "schema": VERDICT}})
    return {"json": json.loads(_text(message)), "usage": _usage(message)}


def forced(url: str, wire: str) -> Mapping[str, Any]:
    """Ask for JSON as the arguments of a tool that must be called."""
    verdict = {"name": "verdict", "input_schema": VERDICT}
    message = _ask(url, tools=[*TOOLS, verdict], tool_choice={"type": "tool", "name": "verdict"})
    [call] = message.content
    return {"json": call.input, "usage": _usage(message)}


def short(url: str, wire: str) -> Mapping[str, Any]:
    """Limit the answer to 8 tokens, which cut it."""
    message = _ask(url, max_tokens=8)
    return {"truncated": message.stop_reason == "max_tokens", "usage": _usage(message)}


def models(url: str, wire: str) -> Mapping[str, Any]:
    known = client(url).models
    return {"models": [one.id for one in known.list()], "model": known.retrieve("demo").id}


def count(url: str, wire: str) -> Mapping[str, Any]:
    return {"count": client(url).messages.count_tokens(model="demo", messages=ASKED).input_tokens}


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
            "models": models,
            "count": count,
            "error": text,
            "page": text,
        }
    )
