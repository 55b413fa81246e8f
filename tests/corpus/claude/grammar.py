"""Writes a session as Claude Code does: one line per content block, usage from its first bytes, totals at the end.

A tool may answer before the next block arrives: here, each call that fails does. A server may tell the tokens of a
prompt only at the end of a response: here, of each response with several calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from backends.events import Usage
from tests.properties.grammar import FAILURES, SPACE, Call, Said, Script, Turn, line

SHOWS = frozenset({"turns", "subagent_turns", "retries", "compactions"})
_IDS = {"session_id": "6a65f15c-8118-4488-8e39-6509b53a3410", "uuid": "265e12c7-17fd-4224-8c2c-ed236091bd01"}


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session ends with an error instead of its last turn's blocks."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    written = [_init(), *(part for turn in shown for part in _turn(turn, None))]
    status = None if script.failure is None else FAILURES[script.failure]
    if status is not None:
        written.append(_synthetic(status))
    all_turns = Script(turns=shown).all_turns(subagents=True)
    return [*written, _result(sum((turn.usage for turn in all_turns), Usage()), status)]


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return call.arguments


def as_shown(said: Said) -> Said:
    """See `grammar`. The CLI strips JavaScript's white space from the ends of its lines."""

    def trimmed(name: str, arguments: str) -> tuple[str, str]:
        if name != "Write":
            return name, arguments
        values = json.loads(arguments)
        lines = (line.rstrip(SPACE) for line in re.split("[\n\r\u2028\u2029]", values["content"]))
        return name, json.dumps(values | {"content": "\n".join(filter(None, lines))})

    return Said(said.text, tuple(trimmed(*call) for call in said.calls))


def _init() -> bytes:
    return line(
        type="system",
        subtype="init",
        cwd="/sandbox/workspace",
        session_id=_IDS["session_id"],
        tools=["Task", "Bash", "Read"],
        mcp_servers=[{"name": "proctor", "status": "connected"}],
        model="scripted",
        permissionMode="bypassPermissions",
        slash_commands=["review"],
        claude_code_version="2.1.197",
        uuid=_IDS["uuid"],
    )


def _turn(turn: Turn, parent: str | None) -> Iterator[bytes]:
    for number in range(turn.retries):
        yield _system(
            "api_retry", attempt=number + 1, max_retries=2, retry_delay_ms=621.3, error_status=529, error="overloaded"
        )
    for _ in range(turn.compactions):
        yield _system("compact_boundary", compact_metadata={"trigger": "auto", "pre_tokens": 50_000})
    if turn.thinking:
        yield _block(turn, parent, {"type": "thinking", "thinking": turn.thinking, "signature": "c2ln"})
    if turn.text:
        yield _block(turn, parent, {"type": "text", "text": turn.text})
    for call in turn.calls:
        yield _block(turn, parent, {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
        if call.failed:
            yield from _answer(call, parent)
    for call in turn.calls:
        if not call.failed:
            yield from _answer(call, parent)


def _answer(call: Call, parent: str | None) -> Iterator[bytes]:
    for inner in call.subagent:
        yield from _turn(inner, call.id)
    yield _tool_result(call, parent)


def _system(subtype: str, **fields: Any) -> bytes:
    return line(type="system", subtype=subtype, **fields, **_IDS)


def _block(turn: Turn, parent: str | None, block: dict[str, Any]) -> bytes:
    known = Usage(input_tokens=0) if len(turn.calls) > 1 else turn.usage
    usage = {
        "input_tokens": known.input_tokens,
        "output_tokens": min(1, known.output_tokens or 0),
        "cache_read_input_tokens": known.cache_read_tokens,
        "cache_creation_input_tokens": known.cache_write_tokens,
    }
    message = {
        "id": turn.id,
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [block],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
        "context_management": None,
    }
    return line(type="assistant", message=message, parent_tool_use_id=parent, **_IDS)


def _tool_result(call: Call, parent: str | None) -> bytes:
    block = {"tool_use_id": call.id, "type": "tool_result", "content": call.output, "is_error": call.failed}
    return line(
        type="user",
        message={"role": "user", "content": [block]},
        parent_tool_use_id=parent,
        **_IDS,
        timestamp="2026-11-22T11:55:57.303Z",
        tool_use_result={"stdout": call.output, "stderr": "", "interrupted": False, "isImage": False},
    )


def _synthetic(status: int) -> bytes:
    message = {
        "id": "f11446a6-874b-4b53-a867-19d6cbc4dfea",
        "model": "<synthetic>",
        "role": "assistant",
        "type": "message",
        "stop_reason": "stop_sequence",
        "usage": {"input_tokens": 0, "output_tokens": 0},
        "content": [{"type": "text", "text": f"API Error: {status} boom."}],
    }
    name = {401: "authentication_failed", 429: "rate_limit"}.get(status, "server_error")
    return line(type="assistant", message=message, parent_tool_use_id=None, **_IDS, error=name)


def _result(used: Usage, status: int | None) -> bytes:
    by_model = {
        "inputTokens": used.input_tokens,
        "outputTokens": used.output_tokens,
        "cacheReadInputTokens": used.cache_read_tokens,
        "cacheCreationInputTokens": used.cache_write_tokens,
        "costUSD": 0.01,
    }
    return line(
        type="result",
        subtype="success",
        is_error=status is not None,
        api_error_status=status,
        duration_ms=735,
        duration_api_ms=100,
        num_turns=1,
        result="Done." if status is None else f"API Error: {status} boom.",
        total_cost_usd=0.01,
        usage={"input_tokens": 0, "output_tokens": 0},
        modelUsage={"scripted": by_model},
        permission_denials=[],
        terminal_reason="completed",
        **_IDS,
    )
