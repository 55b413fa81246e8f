"""How Codex writes a session down: items, one call after the other; no response is told apart, nor its tokens."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from tests.properties.grammar import FAILURES, Call, Script, line

SHOWS: frozenset[str] = frozenset()
_FAILED = {
    401: "unexpected status 401 Unauthorized: no, url: http://127.0.0.1:18080/v1/responses",
    429: "exceeded retry limit, last status: 429 Too Many Requests",
    500: "We're currently experiencing high demand, which may cause temporary errors.",
}


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A session that fails ends with an error in place of its last turn."""
    shown = script.turns if script.failure is None else script.turns[:-1]
    written = [line(type="thread.started", thread_id="01a20355-46f8-7f10-822b-f7a8fd3884a3"), line(type="turn.started")]
    for turn in shown:
        if turn.thinking:
            written.append(_item("completed", id=f"item_{turn.id}_r", type="reasoning", text=turn.thinking))
        if turn.text:
            written.append(_item("completed", id=f"item_{turn.id}_t", type="agent_message", text=turn.text))
        written += [part for call in turn.calls for part in _call(call)]
    if script.failure is not None:
        message = _FAILED[FAILURES[script.failure]]
        return [*written, line(type="error", message=message), line(type="turn.failed", error={"message": message})]
    return [*written, line(type="turn.completed", usage={"input_tokens": 5, "output_tokens": 7})]


def arguments(call: Call) -> dict[str, str]:
    """See `grammar`."""
    return {"cmd": call.command} if call.command else call.arguments


def _item(state: str, **item: Any) -> bytes:
    return line(type=f"item.{state}", item=item)


def _call(call: Call) -> Iterator[bytes]:
    status = "failed" if call.failed else "completed"
    if call.command:
        item = {"id": call.id, "type": "command_execution", "command": shlex.join(["/bin/sh", "-c", call.command])}
        yield _item("started", **item, aggregated_output="", exit_code=None, status="in_progress")
        yield _item("completed", **item, aggregated_output=call.output, exit_code=int(call.failed), status=status)
        return
    item = {"id": call.id, "type": "mcp_tool_call", "server": "proctor", "tool": "write"}
    result = {"content": [{"type": "text", "text": call.output}]}
    yield _item("started", **item, arguments=call.arguments, result=None, error=None, status="in_progress")
    yield _item("completed", **item, arguments=call.arguments, result=result, error=None, status=status)
