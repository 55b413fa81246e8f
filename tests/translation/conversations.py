"""Conversations and answers without any wire, written and read in the form of each wire.

They are written here once more, by hand, so that the tests do not trust the code that they test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

PICTURE: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""

URL: Final = f"data:image/png;base64,{PICTURE}"
SCHEMA: Final = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}


class Called(Struct, frozen=True):
    """A call of a tool, and what the tool answered. `pictured`: the answer has a picture."""

    key: str
    name: str
    arguments: dict[str, Any]
    answer: str
    pictured: bool = False


class Turn(Struct, frozen=True):
    """What a model said and called."""

    text: str
    calls: tuple[Called, ...]


class Talk(Struct, frozen=True):
    """A conversation: the instructions, the task, and the turns so far."""

    system: str
    task: str
    turns: tuple[Turn, ...] = ()

    @property
    def tools(self) -> list[str]:
        """The names of the tools that it offers: those that it calls."""
        return sorted({"bash", *(call.name for turn in self.turns for call in turn.calls)})


class Heard(Struct, frozen=True):
    """What is heard of a request: its instructions, what the user said, and what was called and answered.

    `pictures` counts the pictures of the whole request.
    """

    system: str
    task: str
    said: tuple[str, ...]
    calls: tuple[tuple[str, str, str], ...]
    answers: tuple[tuple[str, str], ...]
    pictures: int
    tools: tuple[str, ...]


def expected(talk: Talk) -> Heard:
    """Return what is to be heard of a conversation, on whatever wire."""
    calls = [call for turn in talk.turns for call in turn.calls]
    return Heard(
        system=talk.system,
        task=talk.task,
        said=tuple(turn.text for turn in talk.turns if turn.text),
        calls=tuple((call.key, call.name, _sorted(call.arguments)) for call in calls),
        answers=tuple((call.key, call.answer) for call in calls),
        pictures=sum(call.pictured for call in calls),
        tools=tuple(talk.tools),
    )


def written(wire: str, talk: Talk, *, stream: bool = True) -> dict[str, Any]:
    """Return a request's body on a wire."""
    return _WRITERS[wire](talk, stream)


def heard(wire: str, body: Mapping[str, Any]) -> Heard:
    """Return what a request's body on a wire says."""
    return _READERS[wire](body)


def _sorted(arguments: Any) -> str:
    return json.dumps(arguments, sort_keys=True)


# Chat Completions


def _chat(talk: Talk, stream: bool) -> dict[str, Any]:
    messages: list[Any] = [{"role": "system", "content": talk.system}, {"role": "user", "content": talk.task}]
    for turn in talk.turns:
        calls = [
            {
                "id": call.key,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in turn.calls
        ]
        messages.append({"role": "assistant", "content": turn.text or None, **({"tool_calls": calls} if calls else {})})
        for call in turn.calls:
            text = {"type": "text", "text": call.answer}
            picture = [{"type": "image_url", "image_url": {"url": URL}}] if call.pictured else []
            messages.append({"role": "tool", "tool_call_id": call.key, "content": [text, *picture]})
    tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in talk.tools]
    options = {"stream_options": {"include_usage": True}} if stream else {}
    return {"model": "demo", "messages": messages, "tools": tools, "stream": stream, **options}


def _of_chat(body: Mapping[str, Any]) -> Heard:
    messages = body["messages"]
    calls = [call for one in messages for call in one.get("tool_calls") or ()]
    users = [_text(one["content"]) for one in messages if one["role"] == "user"]
    return Heard(
        system="".join(_text(one["content"]) for one in messages if one["role"] == "system"),
        task=users[0],
        said=tuple(_text(one["content"]) for one in messages if one["role"] == "assistant" and one.get("content")),
        calls=tuple(
            (one["id"], one["function"]["name"], _sorted(json.loads(one["function"]["arguments"]))) for one in calls
        ),
        answers=tuple((one["tool_call_id"], _text(one["content"])) for one in messages if one["role"] == "tool"),
        pictures=json.dumps(body).count(PICTURE),
        tools=tuple(sorted(one["function"]["name"] for one in body["tools"])),
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or () if "text" in part)


# Anthropic Messages


def _anthropic(talk: Talk, stream: bool) -> dict[str, Any]:
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": talk.task}]}]
    for turn in talk.turns:
        text = [{"type": "text", "text": turn.text}] if turn.text else []
        calls = [
            {"type": "tool_use", "id": call.key, "name": call.name, "input": call.arguments} for call in turn.calls
        ]
        messages.append({"role": "assistant", "content": [*text, *calls]})
        if turn.calls:
            messages.append({"role": "user", "content": [_tool_result(call) for call in turn.calls]})
    tools = [{"name": name, "input_schema": SCHEMA} for name in talk.tools]
    system = [{"type": "text", "text": talk.system}]
    return {
        "model": "demo", "max_tokens": 999, "system": system, "messages": messages, "tools": tools, "stream": stream
    }  # fmt: skip


def _tool_result(call: Called) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    picture = [{"type": "image", "source": source}] if call.pictured else []
    content = [{"type": "text", "text": call.answer}, *picture]
    return {"type": "tool_result", "tool_use_id": call.key, "content": content}


def _of_anthropic(body: Mapping[str, Any]) -> Heard:
    blocks = [
        (one["role"], block)
        for one in body["messages"]
        for block in ([{"type": "text", "text": one["content"]}] if isinstance(one["content"], str) else one["content"])
    ]
    texts = [(role, block["text"]) for role, block in blocks if block["type"] == "text"]
    return Heard(
        system=_text(body["system"]),
        task=next(text for role, text in texts if role == "user"),
        said=tuple(text for role, text in texts if role == "assistant"),
        calls=tuple((one["id"], one["name"], _sorted(one["input"])) for _, one in blocks if one["type"] == "tool_use"),
        answers=tuple(
            (one["tool_use_id"], _text(one.get("content"))) for _, one in blocks if one["type"] == "tool_result"
        ),
        pictures=json.dumps(body).count(PICTURE),
        tools=tuple(sorted(one["name"] for one in body["tools"])),
    )


# OpenAI Responses


def _responses(talk: Talk, stream: bool) -> dict[str, Any]:
    items: list[Any] = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": talk.task}]}]
    for turn in talk.turns:
        if turn.text:
            text = {"type": "output_text", "text": turn.text}
            items.append({"type": "message", "role": "assistant", "content": [text]})
        for call in turn.calls:
            arguments = json.dumps(call.arguments)
            items.append({"type": "function_call", "call_id": call.key, "name": call.name, "arguments": arguments})
        for call in turn.calls:
            picture = [{"type": "input_image", "image_url": URL}] if call.pictured else []
            output = [{"type": "input_text", "text": call.answer}, *picture]
            items.append({"type": "function_call_output", "call_id": call.key, "output": output})
    tools = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in talk.tools]
    return {"model": "demo", "instructions": talk.system, "input": items, "tools": tools, "stream": stream}


def _of_responses(body: Mapping[str, Any]) -> Heard:
    items = body["input"]
    messages = [(one["role"], _text(one["content"])) for one in items if one["type"] == "message"]
    return Heard(
        system=body.get("instructions") or "".join(text for role, text in messages if role == "system"),
        task=next(text for role, text in messages if role == "user"),
        said=tuple(text for role, text in messages if role == "assistant"),
        calls=tuple(
            (one["call_id"], one["name"], _sorted(json.loads(one["arguments"])))
            for one in items
            if one["type"] == "function_call"
        ),
        answers=tuple((one["call_id"], _text(one["output"])) for one in items if one["type"] == "function_call_output"),
        pictures=json.dumps(body).count(PICTURE),
        tools=tuple(sorted(one["name"] for one in body["tools"])),
    )


# Google


def _google(talk: Talk, stream: bool) -> dict[str, Any]:
    contents: list[Any] = [{"role": "user", "parts": [{"text": talk.task}]}]
    for turn in talk.turns:
        text = [{"text": turn.text}] if turn.text else []
        calls = [{"functionCall": {"id": call.key, "name": call.name, "args": call.arguments}} for call in turn.calls]
        contents.append({"role": "model", "parts": [*text, *calls]})
        if turn.calls:
            contents.append({"role": "user", "parts": [_function_response(call) for call in turn.calls]})
    functions = [{"name": name, "parametersJsonSchema": SCHEMA} for name in talk.tools]
    system = {"parts": [{"text": talk.system}]}
    return {"contents": contents, "systemInstruction": system, "tools": [{"functionDeclarations": functions}]}


def _function_response(call: Called) -> dict[str, Any]:
    picture = [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}] if call.pictured else []
    answer = {"id": call.key, "name": call.name, "response": {"output": call.answer}}
    return {"functionResponse": {**answer, **({"parts": picture} if picture else {})}}


def _of_google(body: Mapping[str, Any]) -> Heard:
    parts = [(one["role"], part) for one in body["contents"] for part in one["parts"]]
    calls = [part["functionCall"] for _, part in parts if "functionCall" in part]
    answers = [part["functionResponse"] for _, part in parts if "functionResponse" in part]
    return Heard(
        system=_text(body["systemInstruction"]["parts"]),
        task=next(part["text"] for role, part in parts if role == "user" and "text" in part),
        said=tuple(part["text"] for role, part in parts if role == "model" and "text" in part),
        calls=tuple((one["id"], one["name"], _sorted(one["args"])) for one in calls),
        answers=tuple((one["id"], "".join(map(str, one["response"].values()))) for one in answers),
        pictures=json.dumps(body).count(PICTURE),
        tools=tuple(sorted(one["name"] for group in body["tools"] for one in group["functionDeclarations"])),
    )


_WRITERS: Final[Mapping[str, Callable[[Talk, bool], dict[str, Any]]]] = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _anthropic,
    "google_generate": _google,
}
_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Heard]]] = {
    "openai_chat": _of_chat,
    "openai_responses": _of_responses,
    "anthropic_messages": _of_anthropic,
    "google_generate": _of_google,
}


# Answers


class Said(Struct, frozen=True):
    """What a client reads in a streamed answer: the text, and the calls with their arguments."""

    text: str
    calls: tuple[tuple[str, str, str], ...]


def said(wire: str, body: bytes) -> Said:
    """Return what a client of a wire reads in a streamed answer."""
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]
    match wire:
        case "anthropic_messages":
            return _said_anthropic(events)
        case "openai_responses":
            items = [one["item"] for one in events if one["type"] == "response.output_item.done"]
            calls = [one for one in items if one["type"] == "function_call"]
            return Said(
                "".join(part["text"] for one in items if one["type"] == "message" for part in one["content"]),
                tuple((one["call_id"], one["name"], _sorted(json.loads(one["arguments"]))) for one in calls),
            )
        case "google_generate":
            parts = [part for one in events for part in one["candidates"][0]["content"]["parts"]]
            found = [part["functionCall"] for part in parts if "functionCall" in part]
            return Said(
                "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
                tuple((one["id"], one["name"], _sorted(one["args"])) for one in found),
            )
    return _said_chat(events)


def _said_anthropic(events: list[Any]) -> Said:
    text, calls = "", dict[int, list[str]]()
    for one in events:
        if one["type"] == "content_block_start" and one["content_block"]["type"] == "tool_use":
            calls[one["index"]] = [one["content_block"]["id"], one["content_block"]["name"], ""]
        elif one["type"] == "content_block_delta":
            text += one["delta"].get("text", "")
            if one["delta"]["type"] == "input_json_delta":
                calls[one["index"]][2] += one["delta"]["partial_json"]
    return Said(text, tuple(_whole(calls.values())))


def _said_chat(events: list[Any]) -> Said:
    text, calls = "", dict[int, list[str]]()
    for delta in (choice["delta"] for one in events for choice in one["choices"]):
        text += delta.get("content") or ""
        for piece in delta.get("tool_calls") or ():
            call = calls.setdefault(piece["index"], ["", "", ""])
            call[0] += piece.get("id") or ""
            call[1] += piece["function"].get("name") or ""
            call[2] += piece["function"].get("arguments") or ""
    return Said(text, tuple(_whole(calls.values())))


def _whole(calls: Any) -> Iterator[tuple[str, str, str]]:
    for key, name, arguments in calls:
        yield key, name, _sorted(json.loads(arguments or "{}"))
