"""Google's contents as messages of the Chat Completions API.

litellm 1.110 does this too, but gives all calls of one tool the same id, makes thoughts part of the answer, and puts
pictures between a call and its result. Services refuse such a conversation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.gateway.translation.chat import Message

_EFFORTS: Final = ((1024, "low"), (8192, "medium"))
"""The most tokens of thinking for an effort. More is `high`."""

_CHOICES: Final = {"AUTO": "auto", "ANY": "required", "NONE": "none"}


def messages(body: Mapping[str, Any]) -> list[Message]:
    """Return the messages of a request's body, with the instructions first."""
    system = body.get("systemInstruction") or {}
    text = "\n".join(part["text"] for part in system.get("parts") or () if part.get("text"))
    found = [{"role": "system", "content": text}] if text else []
    calls = _Ids()
    for content in body.get("contents") or ():
        parts = content.get("parts") or []
        found += _model(parts, calls) if content.get("role") == "model" else _user(parts, calls)
    return found


class _Ids:
    """Gives each call the id that its result has, too. Clients may leave out ids; then the order tells."""

    def __init__(self) -> None:
        self._given = 0
        self._open: list[tuple[str, str]] = []

    def of_call(self, call: Mapping[str, Any]) -> str:
        self._given += 1
        found = call.get("id") or f"call_{self._given}"
        self._open.append((call.get("name", ""), found))
        return str(found)

    def of_result(self, result: Mapping[str, Any]) -> str:
        name, given = result.get("name", ""), result.get("id")
        for waiting in self._open:
            if given == waiting[1] or (not given and name == waiting[0]):
                self._open.remove(waiting)
                return waiting[1]
        return str(given or name)


def _model(parts: list[dict[str, Any]], ids: _Ids) -> Iterator[Message]:
    text = "".join(part["text"] for part in parts if part.get("text") and not part.get("thought"))
    calls = [part["functionCall"] for part in parts if part.get("functionCall")]
    message: Message = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [
            {
                "id": ids.of_call(call),
                "type": "function",
                "function": {"name": call.get("name", ""), "arguments": json.dumps(call.get("args") or {})},
            }
            for call in calls
        ]
    if text or calls:
        yield message


def _user(parts: list[dict[str, Any]], ids: _Ids) -> Iterator[Message]:
    for part in parts:
        if result := part.get("functionResponse"):
            content: list[Message] = [{"type": "text", "text": _told(result.get("response"))}]
            content += [_picture(one["inlineData"]) for one in result.get("parts") or () if one.get("inlineData")]
            yield {"role": "tool", "tool_call_id": ids.of_result(result), "content": content}
    said: list[Message] = []
    for part in parts:
        if part.get("text"):
            said.append({"type": "text", "text": part["text"]})
        elif part.get("inlineData"):
            said.append(_picture(part["inlineData"]))
    if said:
        yield {"role": "user", "content": said}


def _told(response: Any) -> str:
    """Return what a function answered. Clients put a text under a key that each chooses."""
    if isinstance(response, dict) and len(response) == 1:
        [only] = response.values()
        if isinstance(only, str):
            return only
    return json.dumps(response, ensure_ascii=False)


def _picture(data: Mapping[str, Any]) -> Message:
    return {"type": "image_url", "image_url": {"url": f"data:{data.get('mimeType', '')};base64,{data.get('data', '')}"}}


def params(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the other parameters of a request's body."""
    config = body.get("generationConfig") or {}
    choice = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
    found = {
        "tools": [_tool(one) for tools in body.get("tools") or () for one in tools.get("functionDeclarations") or ()],
        "tool_choice": _CHOICES.get(str(choice)),
        "max_tokens": config.get("maxOutputTokens"),
        "temperature": config.get("temperature"),
        "top_p": config.get("topP"),
        "stop": config.get("stopSequences"),
        "reasoning_effort": _effort(config.get("thinkingConfig") or {}),
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = function.get("parametersJsonSchema") or _json_schema(function.get("parameters"))
    about = {"name": function["name"], "description": function.get("description", ""), "parameters": schema}
    return {"type": "function", "function": about}


def _json_schema(schema: Any) -> Any:
    """Return Google's own kind of schema as a JSON schema: its types are in upper case."""
    if schema is None:
        return {"type": "object", "properties": {}}
    if isinstance(schema, dict):
        return {
            name: value.lower() if name == "type" and isinstance(value, str) else _json_schema(value)
            for name, value in schema.items()
        }
    return [_json_schema(one) for one in schema] if isinstance(schema, list) else schema


def _effort(thinking: Mapping[str, Any]) -> str | None:
    if level := thinking.get("thinkingLevel"):
        return str(level).lower()
    budget = thinking.get("thinkingBudget")
    if not isinstance(budget, int) or budget <= 0:
        return None
    return next((effort for most, effort in _EFFORTS if budget <= most), "high")
