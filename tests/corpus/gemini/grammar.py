"""Writes a session as Gemini CLI does: texts and calls, then their results, and the tokens of all responses at the end.

A blocked command and a response without content are in the recorded streams alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backends.events import Usage
from tests.properties.grammar import FAILURES, Call, Script, Turn, line

SHOWS = frozenset({"turns"})
_NOW = "2026-11-27T01:58:41.549Z"


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session ends with an error instead of its last turn's parts."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    written = [
        _line("init", session_id="fe1d6e23-3f7b-4fa1-9063-49d924457522", model="scripted"),
        _line("message", role="user", content="Play."),
        *(part for turn in shown for part in _turn(turn)),
    ]
    stats = _stats(sum((turn.usage for turn in shown), Usage()))
    if script.failure is None:
        return [*written, _line("result", status="success", stats=stats)]
    body = f'{{"error":{{"code":{FAILURES[script.failure]},"message":"boom","status":"INTERNAL"}}}}'
    error = {"type": "unknown", "message": f"[API Error: {body}]"}
    return [*written, _line("result", status="error", error=error, stats=stats)]


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return call.arguments


def usage_as_shown(usage: Usage) -> Usage:
    """See `grammar`. It counts tokens written to the cache and thoughts with others, and 0 if there was no response."""
    return Usage(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        cache_read_tokens=usage.cache_read_tokens or 0,
    )


def _line(kind: str, **more: Any) -> bytes:
    return line(type=kind, timestamp=_NOW, **more)


def _turn(turn: Turn) -> Iterator[bytes]:
    if turn.text:
        yield _line("message", role="assistant", content=turn.text, delta=True)
    for call in turn.calls:
        name = "invoke_agent" if call.subagent else call.name
        yield _line("tool_use", tool_name=name, tool_id=call.id, parameters=call.arguments)
    for call in turn.calls:
        error = {"error": {"type": "execution_failed", "message": call.output}} if call.failed else {}
        status = "error" if call.failed else "success"
        yield _line("tool_result", tool_id=call.id, status=status, output=call.output, **error)


def _stats(used: Usage) -> dict[str, Any]:
    sent = (used.input_tokens or 0) + (used.cache_read_tokens or 0)
    output = used.output_tokens or 0
    tokens = {
        "total_tokens": sent + output,
        "input_tokens": sent,
        "output_tokens": output - (used.reasoning_tokens or 0),
        "cached": used.cache_read_tokens or 0,
        "input": used.input_tokens or 0,
    }
    return {**tokens, "duration_ms": 140, "tool_calls": 2, "models": {"scripted": tokens}}
