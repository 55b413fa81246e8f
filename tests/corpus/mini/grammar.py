"""Writes a session as the program around mini-swe-agent does: one line for each message of the trajectory."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.properties.grammar import FAILURES, Call, Script, Turn, line

SHOWS = frozenset({"turns", "retries", "reasoning"})


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session ends with a failure instead of its last message."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    written = [line(type="mini.started", version="2.4.6", model="scripted")]
    written += [_message(role="system", content="You are helpful."), _message(role="user", content="Play.")]
    written += [part for turn in shown for part in _turn(turn)]
    if script.failure is None:
        return [*written, _message(role="exit", content="", exit_status="Answered")]
    status = FAILURES[script.failure]
    written.append(_message(role="exit", content="boom", exit_status="APIError"))
    return [*written, line(type="mini.failed", kind="APIError", message=f"{status} boom", status=status)]


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return call.arguments


def _turn(turn: Turn) -> Iterator[bytes]:
    for number in range(turn.retries):
        yield line(type="mini.retry", attempt=number + 1, error="500 boom")
    used = turn.usage
    usage = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.output_tokens,
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "prompt_tokens_details": {
            "cached_tokens": used.cache_read_tokens,
            "cache_creation_tokens": used.cache_write_tokens,
        },
    }
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call in turn.calls
    ]
    yield _message(
        role="assistant",
        content=turn.text,
        reasoning_content=turn.thinking,
        tool_calls=calls or None,
        id=turn.id,
        model="scripted",
        usage=usage,
        finish_reason="tool_calls" if calls else "stop",
    )
    for call in turn.calls:
        code = 1 if call.failed else 0
        yield _message(role="tool", tool_call_id=call.id, content=call.output, returncode=code, exception_info="")


def _message(**fields: object) -> bytes:
    return line(type="mini.message", message=fields)
