"""Makes a scripted turn answer in the way that the request wants, or refuses the turn and says why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from harness.gateway.messages import BYTES_PER_TOKEN, AnswerForm, ModelRequest, OfferedTool, Reply
from harness.gateway.provider import AnswerError
from harness.gateway.script import ScriptedCall, ScriptedTurn
from harness.gateway.wires.base import dumps

_DEEPEST: Final = 20


def honoured(turn: ScriptedTurn, request: ModelRequest) -> ScriptedTurn:
    """Return the turn as the request wants it: its `json` becomes the text, or the arguments of a call.

    Raise `AnswerError` 400 for a turn that is not what the request wants.
    """
    wanted = request.wanted
    if turn.json is not msgspec.UNSET:
        return _said_or_called(turn, turn.json, request)
    if wanted.calls and request.tools and not turn.calls:
        raise _unfit(
            turn, f"calls no tool, but the request wants a call of {wanted.tool or 'one'} (its choice of tools)"
        )
    if wanted.json and not turn.calls and not _is_json(turn.text):
        raise _unfit(turn, "is no JSON, but the request wants JSON (its form of the answer): give the turn `json:`")
    return turn


def check_calls(reply: Reply, wanted: AnswerForm) -> None:
    """Raise `AnswerError` 400 for a call of another tool than the only one that the request wants."""
    for call in reply.calls:
        if wanted.tool not in {None, call.name}:
            said = f"the script calls {call.name}, but the request wants a call of {wanted.tool} (its choice of tools)"
            raise AnswerError(400, said)


def shortened(reply: Reply, limit: int | None) -> Reply:
    """Return the reply, cut where it is longer than the request lets an answer be: first its calls, then its text."""
    if limit is None or reply.usage.output_tokens <= limit:
        return reply
    room = limit * BYTES_PER_TOKEN
    text = reply.text.encode()[:room].decode("utf-8", "ignore")
    room -= len(reply.text.encode())
    calls = []
    for call in reply.calls:
        room -= len((call.name + dumps(dict(call.arguments))).encode())
        if room < 0:
            break
        calls.append(call)
    usage = msgspec.structs.replace(reply.usage, output_tokens=limit)
    return msgspec.structs.replace(reply, text=text, calls=tuple(calls), usage=usage, truncated=True)


def example(schema: Mapping[str, Any], word: str, depth: int = 0) -> Any:
    """Return a value of a JSON schema, whose texts are `word`."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
    properties = schema.get("properties")
    if isinstance(properties, dict) and depth < _DEEPEST:
        return {
            name: example(held, word, depth + 1)
            for name, held in properties.items()
            if isinstance(held, dict) and name in (schema.get("required") or properties)
        }
    simple: dict[str, Any] = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}, "null": None}
    return simple.get(str(kind).lower(), word)


def _said_or_called(turn: ScriptedTurn, value: Any, request: ModelRequest) -> ScriptedTurn:
    wanted = request.wanted
    if not (wanted.calls and request.tools):
        return _with(turn, text=json.dumps(value, ensure_ascii=False))
    if not isinstance(value, dict):
        raise AnswerError(400, "the script's `json` is no object, but the request wants it as the arguments of a tool")
    named = [tool for tool in request.tools if wanted.tool in {None, tool.name}]
    fitting = [tool.name for tool in named if wanted.tool or _takes(tool, value)]
    if len(fitting) != 1:
        fault = "fits several" if fitting else "fits none"
        offered = ", ".join(fitting or [tool.name for tool in request.tools])
        raise AnswerError(400, f"the script's `json` {fault} of the tools that the request wants called: {offered}")
    return _with(turn, calls=(ScriptedCall(tool=fitting[0], arguments=value),))


def _with(turn: ScriptedTurn, **parts: Any) -> ScriptedTurn:
    return msgspec.structs.replace(turn, json=msgspec.UNSET, **parts)


def _takes(tool: OfferedTool, value: Mapping[str, Any]) -> bool:
    """Return whether the value has the arguments that a tool requires, and no others than it knows."""
    required: Sequence[str] = tool.schema.get("required") or ()
    return set(required) <= set(value) <= set(tool.schema.get("properties") or ())


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    return True


def _unfit(turn: ScriptedTurn, fault: str) -> AnswerError:
    begins = turn.text or ", ".join(f"{call.kind}: {call.target}" for call in turn.calls)
    return AnswerError(400, f"the script's turn ({begins[:60]!r}) {fault}")
