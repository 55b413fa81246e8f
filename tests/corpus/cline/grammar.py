"""Writes a session as Cline does: an iteration for each response, with its text, its tokens and its calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from msgspec import structs

from backends.events import Usage
from tests.properties.grammar import Call, Said, Script, Turn, line

SHOWS = frozenset({"turns", "retries", "compactions"})
_AGENT = {"agentId": "agent_1795751467736_sb6f9u", "taskId": "conv_1795751467785_n60mgzd", "parentAgentId": None}
_SHELL = "run_commands"


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session shows an error in its last iteration."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    written = [_line(type="hook_event", hookEventName="agent_start", **_AGENT)]
    written += [part for number, turn in enumerate(shown, 1) for part in _turn(turn, number)]
    iterations, told = len(script.turns), {"usage": _usage(shown), "durationMs": 4321}
    last = shown[-1].text if shown else ""
    if script.failure is None:
        done = {"reason": "completed", "text": last, "iterations": iterations, "usage": _usage(shown)}
        written += [_event("done", **done), _line(type="hook_event", hookEventName="agent_end", **_AGENT)]
        ended = {"finishReason": "completed", "iterations": iterations, "text": last}
        return [*written, _line(type="run_result", **ended, **told)]
    said = _SAID[script.failure.value]
    error = {
        "name": "Error",
        "message": said,
        "stack": f"Error: {said}\n    at execute (/$bunfs/root/chunk.js:389:6881)",
    }
    classed = "auth" if script.failure.value == "auth" else "unknown"
    written += [
        _event("iteration_start", iteration=iterations),
        _event("error", error=error, errorClass=classed, recoverable=False, iteration=iterations),
    ]
    return [*written, _line(type="run_result", finishReason="error", iterations=iterations, text=said, **told)]


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`. A list of commands is read as one command."""
    return call.arguments


def as_shown(said: Said) -> Said:
    """See `grammar`. The same holds for what a model wrote."""
    return Said(said.text, tuple((name, json.dumps(_joined(json.loads(given)))) for name, given in said.calls))


def usage_as_shown(used: Usage) -> Usage:
    """See `grammar`. It tells the other counts even of a session without a response, and no reasoning."""
    return structs.replace(_NOTHING + used, reasoning_tokens=None)


_NOTHING = Usage(input_tokens=0, output_tokens=0, cache_read_tokens=0, cache_write_tokens=0)
_SAID = {"auth": "invalid x-api-key", "rate_limit": "Rate limit reached", "model_error": "boom"}


def _joined(given: Any) -> Any:
    return {"command": "\n".join(given["commands"])} if isinstance(given, dict) and "commands" in given else given


def _line(**fields: Any) -> bytes:
    return line(ts="2026-11-27T03:51:07.802Z", **fields)


def _event(kind: str, **fields: Any) -> bytes:
    return _line(type="agent_event", event={"type": kind, **fields})


def _turn(turn: Turn, number: int) -> Iterator[bytes]:
    yield _event("iteration_start", iteration=number)
    for attempt in range(turn.retries):
        told = {"attempt": attempt + 1, "maxRetries": 3, "delayMs": 2000, "providerError": "terminated"}
        yield _notice("provider_error_retry", phase="started", **told)
    for _ in range(turn.compactions):
        yield _notice("auto_compaction", phase="started")
        yield _notice("auto_compaction", phase="completed", tokensBefore=9000, tokensAfter=400)
    if turn.text:
        yield _event("content_start", contentType="text", text=turn.text, accumulated=turn.text)
    if turn.thinking:
        yield _event("content_start", contentType="reasoning", reasoning=turn.thinking, redacted=False)
    yield _event("usage", **_usage((turn,)), totalInputTokens=1, totalOutputTokens=1)
    if turn.thinking:
        yield _event("content_end", contentType="reasoning", reasoning=turn.thinking)
    if turn.text:
        yield _event("content_end", contentType="text", text=turn.text)
    for call in turn.calls:
        yield from _call(call)
    yield _event("iteration_end", iteration=number, hadToolCalls=bool(turn.calls), toolCallCount=len(turn.calls))


def _notice(kind: str, **fields: Any) -> bytes:
    metadata = {"kind": kind, "reason": kind, "iteration": 1, **fields}
    return _event("notice", noticeType="status", displayRole="status", message=kind, metadata=metadata)


def _call(call: Call) -> Iterator[bytes]:
    shell = bool(call.command)
    tool = {"contentType": "tool", "toolName": _SHELL if shell else call.name, "toolCallId": call.id}
    yield _event("content_start", **tool, input={"commands": [call.command]} if shell else call.arguments)
    if shell:
        update = {"stream": "stdout", "chunk": call.output, "commandIndex": 0, "query": call.command}
        yield _event("content_update", **tool, update=update)
    output: dict[str, Any] = {"query": call.command, "result": call.output, "success": not call.failed}
    if call.failed and call.output:
        output["error"] = "Command exited with code 1"
    yield _event("content_end", **tool, output=[output], durationMs=call.milliseconds)


def _usage(turns: tuple[Turn, ...]) -> dict[str, int]:
    used = sum((turn.usage for turn in turns), Usage())
    read, written = used.cache_read_tokens or 0, used.cache_write_tokens or 0
    counts = {"inputTokens": (used.input_tokens or 0) + read + written, "outputTokens": used.output_tokens or 0}
    return {**counts, "cacheReadTokens": read, "cacheWriteTokens": written}
