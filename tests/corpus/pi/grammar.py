"""Writes a session as Pi does: each response is a message, first in pieces, then whole; the end repeats everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backends.events import ErrorKind
from tests.properties.grammar import FAILURES, Call, Script, Turn, line

SHOWS = frozenset({"turns", "retries", "compactions"})
_NOW = 1795352285514


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session ends with a failed message instead of its last one."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    prompt = {"role": "user", "content": [{"type": "text", "text": "Play."}], "timestamp": _NOW}
    written = [line(type="session", version=3, id="01a20355-d09a-7669-8d9b-1b9ac1802c87", cwd="/sandbox/workspace")]
    system = {"role": "system", "content": "", "sections": {"preamble": "You help."}, "timestamp": _NOW}
    written += [line(type="agent_start"), line(type="turn_start")]
    written += [line(type="message_end", message=system), line(type="message_end", message=prompt)]
    written += [part for turn in shown for part in _turn(turn)]
    if script.failure is not None:
        failed = _message(Turn(id="failed"), script.failure)
        written.append(line(type="message_end", message=failed))
    everything = [system, prompt, *(_message(turn, None) for turn in shown)]
    return [*written, line(type="agent_end", messages=everything, willRetry=False), line(type="agent_settled")]


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return call.arguments


def _turn(turn: Turn) -> Iterator[bytes]:
    for number in range(turn.retries):
        retry = {"attempt": number + 1, "maxAttempts": 2, "delayMs": 2000, "errorMessage": "500 boom"}
        yield line(type="auto_retry_start", **retry)
    for _ in range(turn.compactions):
        result = {"summary": "…", "tokensBefore": 50_000}
        yield line(type="compaction_end", reason="threshold", result=result, aborted=False, willRetry=False)
    message = _message(turn, None)
    yield line(type="message_start", message={**message, "content": [], "stopReason": "pending"})
    piece = {"type": "text_end", "contentIndex": 0, "content": turn.text}
    yield line(type="message_update", assistantMessageEvent=piece, usage=message["usage"])
    yield line(type="message_end", message=message)
    for call in turn.calls:
        ids = {"toolCallId": call.id, "toolName": call.name}
        yield line(type="tool_execution_start", **ids, args=call.arguments)
        result = {"content": [{"type": "text", "text": call.output}]}
        yield line(type="tool_execution_end", **ids, result=result, isError=call.failed)
    yield line(type="turn_end", message=message, toolResults=[])


def _message(turn: Turn, failure: ErrorKind | None) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if turn.thinking:
        content.append({"type": "thinking", "thinking": turn.thinking, "thinkingSignature": "reasoning_content"})
    if turn.text:
        content.append({"type": "text", "text": turn.text})
    content += [{"type": "toolCall", "id": c.id, "name": c.name, "arguments": c.arguments} for c in turn.calls]
    used = turn.usage
    usage = {
        "input": used.input_tokens,
        "output": used.output_tokens,
        "cacheRead": used.cache_read_tokens,
        "cacheWrite": used.cache_write_tokens,
        "cost": {"input": 0, "output": 0, "total": 0},
    }
    message = {"role": "assistant", "content": content, "api": "openai-completions", "usage": usage, "timestamp": _NOW}
    if failure is not None:
        return {**message, "stopReason": "error", "errorMessage": f"{FAILURES[failure]} boom"}
    return {**message, "stopReason": "toolUse" if turn.calls else "stop", "responseId": turn.id}
