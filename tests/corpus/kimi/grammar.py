"""Writes a session as Kimi Code does: a line for each response of the main agent, and one for each result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from backends.events import Usage
from tests.properties.grammar import Call, Script, Turn, line

SHOWS = frozenset({"turns", "retries"})
LEAVES_OUT = frozenset({"tool_errors"})
_SESSION = "session_45092dbd-668f-4272-8262-6bd331f36cd3"


def usage_as_shown(_usage: Usage) -> Usage:
    """See `grammar`. It tells no tokens."""
    return Usage()


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session ends without its last line."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    written = [line(role="meta", type="system.version", version="2.1.0")]
    written += [part for turn in shown for part in _turn(turn)]
    if script.failure is None:
        command = f"kimi -r {_SESSION}"
        hint = {"session_id": _SESSION, "command": command, "content": f"To resume this session: {command}"}
        written.append(line(role="meta", type="session.resume_hint", **hint))
    return written


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return call.arguments


def _turn(turn: Turn) -> Iterator[bytes]:
    for number in range(turn.retries):
        attempt = {"failed_attempt": number + 1, "next_attempt": number + 2, "max_attempts": 3, "delay_ms": 591.3}
        error = {"error_name": "APIStatusError", "error_message": "500 boom", "status_code": 500}
        yield line(role="meta", type="turn.step.retrying", **attempt, **error)
    response: dict[str, Any] = {"content": turn.text} if turn.text else {}
    if turn.calls:
        response["tool_calls"] = [_call(call) for call in turn.calls]
    yield line(role="assistant", **response)
    for call in turn.calls:
        yield line(role="tool", tool_call_id=call.id, content=call.output)


def _call(call: Call) -> dict[str, Any]:
    name = "Agent" if call.subagent else call.name
    function = {"name": name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"type": "function", "id": call.id, "function": function}
