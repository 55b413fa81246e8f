"""Writes a session as OpenCode does: one line for each complete part, and no subagent's part or retry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.properties.grammar import FAILURES, Call, Said, Script, Turn, line

SHOWS = frozenset({"turns", "reasoning"})
_SESSION = "ses_dfce1a654ffeOkhF71ul4xfitT"
_NOW = 1795348652559


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session ends with an error instead of its last turn's parts."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    written = [part for turn in shown for part in _turn(turn)]
    if script.failure is not None:
        written.append(_failure(FAILURES[script.failure]))
    return written


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return call.arguments


def as_shown(said: Said) -> Said:
    """See `grammar`. A call appears with its result, so parallel calls come in the order of their ends."""
    return Said(said.text, tuple(sorted(said.calls)))


def _turn(turn: Turn) -> Iterator[bytes]:
    def part(kind: str, type_: str, **more: Any) -> bytes:
        ids = {"id": "prt_2031e5f6f001WJ1nAwfg35LdB7", "messageID": turn.id, "sessionID": _SESSION}
        return line(type=kind, timestamp=_NOW, sessionID=_SESSION, part={"type": type_, **more, **ids})

    yield part("step_start", "step-start")
    if turn.thinking:
        yield part("reasoning", "reasoning", text=turn.thinking, time={"start": _NOW, "end": _NOW})
    if turn.text:
        yield part("text", "text", text=turn.text, time={"start": _NOW, "end": _NOW})
    for call in turn.calls:
        yield part("tool_use", "tool", tool="task" if call.subagent else call.name, callID=call.id, state=_state(call))
    used = turn.usage
    tokens = {
        "total": used.prompt_tokens + (used.output_tokens or 0),
        "input": used.input_tokens,
        "output": (used.output_tokens or 0) - (used.reasoning_tokens or 0),
        "reasoning": used.reasoning_tokens,
        "cache": {"write": used.cache_write_tokens, "read": used.cache_read_tokens},
    }
    reason = "tool-calls" if turn.calls else "stop"
    yield part("step_finish", "step-finish", reason=reason, tokens=tokens, cost=0)


def _state(call: Call) -> dict[str, Any]:
    state: dict[str, Any] = {"input": call.arguments}
    time = {"start": _NOW - call.milliseconds, "end": _NOW}
    if call.failed:
        return {"status": "error", **state, "error": call.output, "time": time}
    metadata: dict[str, Any] = {"output": call.output, "exit": 0, "truncated": False}
    if call.subagent:
        metadata = {"parentSessionId": _SESSION, "sessionId": "ses_dfce236a7ffeDOXHeCQfDmBjjW", "truncated": False}
    return {"status": "completed", **state, "output": call.output, "metadata": metadata, "title": "run", "time": time}


def _failure(status: int) -> bytes:
    data = {
        "message": "boom",
        "statusCode": status,
        "isRetryable": status != 401,
        "responseHeaders": {"content-type": "application/json"},
        "responseBody": '{"error": {"message": "boom"}}',
    }
    return line(type="error", timestamp=_NOW, sessionID=_SESSION, error={"name": "APIError", "data": data})
