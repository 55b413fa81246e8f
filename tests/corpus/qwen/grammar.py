"""Writes a session as Qwen Code does: each response in pieces, and then one line for each kind of block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import structs

from backends.events import Usage
from tests.properties.grammar import FAILURES, Call, Script, Turn, line

SHOWS = frozenset({"turns", "retries"})
_SESSION = "0107b54c-847a-4326-a384-e3397c0fe8f9"
_ID = "7871ef10-631d-413d-a946-83bef2b9527d"


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session shows an error instead of its last turn."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    written = [_init(), *(part for turn in shown for part in _turn(turn))]
    if script.failure is None:
        return [*written, _line(type="result", subtype="success", is_error=False, num_turns=1, result="Done.")]
    said = f"[API Error: {FAILURES[script.failure]} boom]"
    error = {"subtype": "error_during_execution", "is_error": True, "num_turns": 1, "error": {"message": said}}
    written += [_event("message_start"), *_message([{"type": "text", "text": said}], {}), _event("message_stop")]
    return [*written, _line(type="result", **error)]


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return call.arguments


def usage_as_shown(used: Usage) -> Usage:
    """See `grammar`. The CLI counts tokens written to the cache as ordinary prompt tokens."""
    if used == Usage():  # there was no response
        return used
    sent = (used.input_tokens or 0) + (used.cache_write_tokens or 0)
    return structs.replace(used, input_tokens=sent, cache_write_tokens=None)


def _line(**fields: Any) -> bytes:
    return line(uuid=_ID, session_id=_SESSION, parent_tool_use_id=None, **fields)


def _event(kind: str, **fields: Any) -> bytes:
    return _line(type="stream_event", event={"type": kind, **fields})


def _init() -> bytes:
    return _line(
        type="system",
        subtype="init",
        cwd="/sandbox/workspace",
        tools=["run_shell_command", "write_file"],
        mcp_servers=[{"name": "proctor", "status": "connected"}],
        model="scripted",
        permission_mode="yolo",
        slash_commands=["compress"],
        qwen_code_version="0.24.4",
        agents=["general-purpose"],
    )


def _turn(turn: Turn) -> Iterator[bytes]:
    for number in range(turn.retries):
        retry = {"reason": "retry", "attempt": number + 1, "maxRetries": 2, "delayMs": 2000, "discardedToolCalls": 0}
        yield _line(type="system", subtype="retry", data=retry)
    kinds: list[list[dict[str, Any]]] = [
        [{"type": "thinking", "thinking": turn.thinking, "signature": ""}] if turn.thinking else [],
        [{"type": "text", "text": turn.text}] if turn.text else [],
        [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in turn.calls],
    ]
    parts = [blocks for blocks in kinds if blocks]
    yield _event("message_start", message={"id": turn.id, "role": "assistant", "model": "scripted", "content": []})
    for blocks in parts:
        yield from _message(blocks, _usage(turn) if blocks is parts[-1] else {})
    yield _event("message_stop")
    for call in turn.calls:
        if call.subagent:
            task = {"task_id": call.id, "tool_use_id": call.id, "subagent_type": "general-purpose"}
            yield _line(type="system", subtype="task_started", data=task)
        result = {"type": "tool_result", "tool_use_id": call.id, "is_error": call.failed, "content": call.output}
        yield _line(type="user", message={"role": "user", "content": [result]})


def _message(blocks: list[dict[str, Any]], usage: dict[str, int]) -> Iterator[bytes]:
    for number, block in enumerate(blocks):
        yield _event("content_block_start", index=number, content_block=block)
        yield _event("content_block_stop", index=number)
    used = {"input_tokens": 0, "output_tokens": 0} | usage
    message = {"id": _ID, "type": "message", "role": "assistant", "model": "scripted", "content": blocks}
    yield _line(type="assistant", message={**message, "stop_reason": None, "usage": used})


def _usage(turn: Turn) -> dict[str, int]:
    used = turn.usage
    sent = (used.input_tokens or 0) + (used.cache_read_tokens or 0) + (used.cache_write_tokens or 0)
    written = used.output_tokens or 0
    return {
        "input_tokens": sent,
        "output_tokens": written,
        "cache_read_input_tokens": used.cache_read_tokens or 0,
        "total_tokens": sent + written,
    }
