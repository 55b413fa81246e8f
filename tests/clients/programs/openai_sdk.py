"""OpenAI's own client, over both of its wires."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cells import ADD, KEY, PROMPT, SHOUT, VERDICT, run, total, used
from openai import OpenAI

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in (("add", ADD), ("shout", SHOUT))
]
FLAT: list[Any] = [{"type": "function", "strict": False, **tool["function"]} for tool in TOOLS]
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT, "strict": True}}
ASKED: list[Any] = [{"role": "user", "content": PROMPT}]


def client(url: str) -> OpenAI:
    return OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)


def _chat_usage(usage: Any) -> dict[str, int]:
    return used(usage.prompt_tokens, usage.completion_tokens)


def _usage(usage: Any) -> dict[str, int]:
    assert usage.input_tokens_details.cached_tokens is not None
    return used(usage.input_tokens, usage.output_tokens)


def text(url: str, wire: str) -> Mapping[str, Any]:
    if wire == "openai_chat":
        chat = client(url).chat.completions.create(model="demo", messages=ASKED)
        return {"text": chat.choices[0].message.content, "usage": _chat_usage(chat.usage)}
    answer = client(url).responses.create(model="demo", input=PROMPT, store=False)
    return {"text": answer.output_text, "usage": _usage(answer.usage)}


def stream(url: str, wire: str) -> Mapping[str, Any]:
    if wire == "openai_chat":
        with client(url).chat.completions.stream(
            model="demo", messages=ASKED, stream_options={"include_usage": True}
        ) as chunks:
            chat = chunks.get_final_completion()
        return {"text": chat.choices[0].message.content, "usage": _chat_usage(chat.usage)}
    with client(url).responses.stream(model="demo", input=PROMPT, store=False) as events:
        answer = events.get_final_response()
    return {"text": answer.output_text, "usage": _usage(answer.usage)}


def silent(url: str, wire: str) -> Mapping[str, Any]:
    """Stream without asking for the usage. Each chunk then has a choice."""
    if wire != "openai_chat":
        return stream(url, wire)
    chunks = list(client(url).chat.completions.create(model="demo", messages=ASKED, stream=True))
    return {"text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks)}


def tools(url: str, wire: str) -> Mapping[str, Any]:
    return _chat_tools(url) if wire == "openai_chat" else _response_tools(url)


def _chat_tools(url: str) -> Mapping[str, Any]:
    create, messages = client(url).chat.completions.create, list(ASKED)
    first = create(model="demo", messages=messages, tools=TOOLS)
    message = first.choices[0].message
    messages.append(message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in message.tool_calls or ()]
    second = create(model="demo", messages=messages, tools=TOOLS)
    return {
        "calls": [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or ()],
        "text": second.choices[0].message.content,
        "usage": total(_chat_usage(first.usage), _chat_usage(second.usage)),
    }


def _response_tools(url: str) -> Mapping[str, Any]:
    create = client(url).responses.create
    first = create(model="demo", input=PROMPT, tools=FLAT, store=False)
    calls = [item for item in first.output if item.type == "function_call"]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "ok"} for call in calls]
    history: list[Any] = [*ASKED, *first.output, *results]
    second = create(model="demo", input=history, tools=FLAT, store=False)
    return {
        "calls": [[call.name, json.loads(call.arguments)] for call in calls],
        "text": second.output_text,
        "usage": total(_usage(first.usage), _usage(second.usage)),
    }


def structured(url: str, wire: str) -> Mapping[str, Any]:
    if wire == "openai_chat":
        chat = client(url).chat.completions.create(model="demo", messages=ASKED, response_format=FORMAT)
        return {"json": json.loads(chat.choices[0].message.content), "usage": _chat_usage(chat.usage)}
    form: Any = {"format": {"type": "json_schema", **FORMAT["json_schema"]}}
    answer = client(url).responses.create(model="demo", input=PROMPT, store=False, text=form)
    return {"json": json.loads(answer.output_text), "usage": _usage(answer.usage)}


def forced(url: str, wire: str) -> Mapping[str, Any]:
    """Ask for JSON as the arguments of a tool that must be called."""
    if wire == "openai_chat":
        choice: Any = {"type": "function", "function": {"name": "verdict"}}
        tool: Any = {"type": "function", "function": {"name": "verdict", "parameters": VERDICT}}
        chat = client(url).chat.completions.create(
            model="demo", messages=ASKED, tools=[*TOOLS, tool], tool_choice=choice
        )
        [call] = chat.choices[0].message.tool_calls
        return {"json": json.loads(call.function.arguments), "usage": _chat_usage(chat.usage)}
    flat: Any = {"type": "function", "name": "verdict", "parameters": VERDICT, "strict": True}
    named: Any = {"type": "function", "name": "verdict"}
    answer = client(url).responses.create(
        model="demo", input=PROMPT, store=False, tools=[*FLAT, flat], tool_choice=named
    )
    [item] = answer.output
    return {"json": json.loads(item.arguments), "usage": _usage(answer.usage)}


def short(url: str, wire: str) -> Mapping[str, Any]:
    """Limit the answer to 8 tokens, which cut it."""
    if wire == "openai_chat":
        chat = client(url).chat.completions.create(model="demo", messages=ASKED, max_completion_tokens=8)
        return {"truncated": chat.choices[0].finish_reason == "length", "usage": _chat_usage(chat.usage)}
    answer = client(url).responses.create(model="demo", input=PROMPT, store=False, max_output_tokens=8)
    return {"truncated": answer.incomplete_details is not None, "usage": _usage(answer.usage)}


def models(url: str, wire: str) -> Mapping[str, Any]:
    known = client(url).models
    return {"models": [one.id for one in known.list()], "model": known.retrieve("demo").id}


def count(url: str, wire: str) -> Mapping[str, Any]:
    if wire == "openai_chat":
        return {"count": 1}
    return {"count": client(url).responses.input_tokens.count(model="demo", input=PROMPT).input_tokens}


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
            "models": models,
            "count": count,
            "error": text,
            "page": text,
        }
    )
