"""Writes a session as GitHub Copilot CLI does: a response in three lines, and what it counted at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backends.events import Usage
from tests.properties.grammar import FAILURES, Call, Script, Turn, line

SHOWS = frozenset({"turns", "subagent_turns", "retries", "compactions"})
_SESSION = "6f7a7ed6-5858-46e1-b808-c1b45577f52f"
_NOW = "2026-11-27T03:55:36.797Z"


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session shows an error instead of its last turn."""
    shown = Script(turns=script.turns if script.failure is None else script.turns[:-1])
    code = 0 if script.failure is None else 1
    written = [line(type="proctor.session", data={"sessionId": _SESSION}), *_mcp()]
    written += [part for turn in shown.turns for part in _turn(turn)]
    if script.failure is not None:
        status = FAILURES[script.failure]
        said = f"Failed to get response from the AI model; retried 5 times Last error: {status} boom"
        written += [_line("assistant.turn_start", turnId="9"), _line("model.call_final_result", result="http_5xx")]
        written += [_line("session.error", errorType="query", message=said, statusCode=status)]
    written += [_line("assistant.idle")]
    written += [line(type="result", timestamp=_NOW, sessionId=_SESSION, exitCode=code, usage={"sessionDurationMs": 9})]
    every = list(shown.all_turns(subagents=True))
    for _ in range(sum(turn.compactions for turn in every)):
        told = {"success": True, "trigger": "automatic", "preCompactionTokens": 50_000}
        written.append(line(type="proctor.compaction", data=told))
    models = {"scripted": _tokens(sum((turn.usage for turn in every), Usage()))} if every else {}
    return [*written, line(type="proctor.end", data={"exitCode": code, "models": models})]


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return call.arguments


def _mcp() -> Iterator[bytes]:
    yield _line("session.mcp_server_status_changed", serverName="environment", status="pending")
    servers = [{"name": "environment", "status": "connected"}, {"name": "githubiq", "status": "disabled"}]
    yield _line("session.mcp_servers_loaded", servers=servers)


def _turn(turn: Turn, parent: str | None = None) -> Iterator[bytes]:
    begun: dict[str, Any] = {} if parent is None else {"parentToolCallId": parent}
    agent = None if parent is None else f"agent-of-{parent}"
    yield _line("assistant.turn_start", agent, turnId="0", **begun)
    for _ in range(turn.retries):
        yield _line("model.call_failure", agent, statusCode=500, errorMessage="boom")
        yield _line("assistant.turn_retry", agent, turnId="0", model="scripted", reason="api_error")
    requests = [{"toolCallId": call.id, "name": call.name, "arguments": call.arguments} for call in turn.calls]
    thought = {"reasoningText": turn.thinking} if turn.thinking else {}
    said = {"messageId": turn.id, "model": "scripted", "content": turn.text, "toolRequests": requests}
    yield _line("assistant.message", agent, **said, **thought, **begun)
    yield _line("model.call_final_result", agent, model="scripted", isByok=True, result="success")
    for call in turn.calls:
        yield _line("tool.execution_start", agent, toolCallId=call.id, toolName=call.name)
        if call.subagent:
            yield _line("subagent.started", f"agent-of-{call.id}", toolCallId=call.id, agentName="general-purpose")
            for inner in call.subagent:
                yield from _turn(inner, call.id)
        yield _line("tool.execution_complete", agent, toolCallId=call.id, **_result(call), **begun)
    yield _line("assistant.turn_end", agent, turnId="0", **begun)


def _result(call: Call) -> dict[str, Any]:
    if call.failed and not call.command:
        return {"success": False, "error": {"message": call.output, "code": "failure"}}
    shell = {"shellExecution": {"exitCode": int(call.failed)}} if call.command else {}
    return {"success": True, "result": {"content": call.output, "detailedContent": call.output}, **shell}


def _tokens(used: Usage) -> dict[str, int]:
    counts = {
        "inputTokens": None if used.input_tokens is None else used.prompt_tokens,
        "outputTokens": used.output_tokens,
        "cacheReadTokens": used.cache_read_tokens,
        "cacheWriteTokens": used.cache_write_tokens,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _line(kind: str, agent: str | None = None, **data: Any) -> bytes:
    return line(type=kind, data=data, **({} if agent is None else {"agentId": agent}), timestamp=_NOW)
