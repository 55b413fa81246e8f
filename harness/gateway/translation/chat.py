"""A request in the form of OpenAI's Chat Completions API. Every translation goes through this form.

A message is a dictionary of that API. Some have keys of litellm besides, in which it carries a model's reasoning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

Message = dict[str, Any]

PICTURES: Final = "These are the pictures that the tools returned:"
"""What introduces pictures of tool results on a wire whose tool results are only text."""

NO_DOCUMENT: Final = "[A document was here. The API of this model's provider does not take it.]"

_CALL: Final = ("id", "type", "function")


class Chat(Struct, frozen=True):
    """A request: its messages, and the other parameters of the Chat Completions API, without `model` and `stream`.

    `state` is what the CLI's side needs again when the answer comes back.
    """

    messages: list[Message]
    params: Mapping[str, Any]
    state: Any = None


def with_systems(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with instructions as `system`, which more services know than `developer`."""
    return [{**one, "role": "system"} if one["role"] == "developer" else one for one in messages]


def instructions(messages: Sequence[Message]) -> str:
    """Return the texts of all system messages."""
    return "\n\n".join(text for one in messages if one["role"] == "system" if (text := text_of(one.get("content"))))


def text_of(content: Any) -> str:
    """Return the text of a message's content."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if part.get("type") == "text")


def plain(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with nothing but what the API itself documents.

    It takes pictures only in a user's message. So those of tool results follow after the results, in such a message.
    Messages of the user that follow one another become one, because some models take only one at a time.
    """
    found: list[Message] = []
    pictures: list[Message] = []
    for message in [*with_systems(messages), None]:
        if message is None or message["role"] != "tool":
            if pictures:
                found.append({"role": "user", "content": [{"type": "text", "text": PICTURES}, *pictures]})
                pictures = []
            if message is None:
                break
            if message["role"] == "user" and found and found[-1]["role"] == "user":
                found[-1]["content"] = [*_parts(found[-1]["content"]), *_parts(message["content"])]
            else:
                found.append(_said(message))
        else:
            parts = _parts(message.get("content"))
            pictures += [part for part in parts if part["type"] == "image_url"]
            result = {"role": "tool", "tool_call_id": message["tool_call_id"], "content": text_of(parts)}
            found.append(result)
    return found


def with_objects(messages: Sequence[Message]) -> list[Message]:
    """Return the messages, in which the arguments of every call are an object.

    A model may have written something else. The CLI has told it so, but services refuse such a conversation.
    """
    return [
        {**one, "tool_calls": [_with_object(call) for call in one["tool_calls"]]} if one.get("tool_calls") else one
        for one in messages
    ]


def _with_object(call: Message) -> Message:
    function = call["function"]
    try:
        if isinstance(json.loads(function["arguments"] or "{}"), dict):
            return call
    except ValueError:
        pass
    return {**call, "function": {**function, "arguments": json.dumps({"malformed": function["arguments"]})}}


def _said(message: Message) -> Message:
    content = message.get("content")
    kept: Message = {
        "role": message["role"],
        "content": content if isinstance(content, str) or not content else _parts(content),
    }
    if calls := message.get("tool_calls"):
        kept["tool_calls"] = [{name: call[name] for name in _CALL} for call in calls]
    return kept


def _parts(content: Any) -> list[Message]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part) for part in content or ()]


def _part(part: Message) -> Message:
    if part.get("type") == "text":
        return {"type": "text", "text": part["text"]}
    if part.get("type") == "image_url":
        picture = part["image_url"]
        url = picture if isinstance(picture, str) else picture["url"]
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": NO_DOCUMENT}
