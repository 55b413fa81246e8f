"""Writes a session as Codex does: items, and one call after the other, without the responses or their tokens.

Codex has no tool that writes files. Its prompt asks the model to call `apply_patch` in the shell; the stream then shows
only the paths (here: a call of `edit`). Or models write with a here-document (`write`). Other tool names belong to an
MCP server. The shapes and the quoting were measured like those in `backends/codex/stream.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.properties.grammar import FAILURES, Call, Script, line

SHOWS: frozenset[str] = frozenset()
_FAILED = {
    401: "unexpected status 401 Unauthorized: no, url: http://127.0.0.1:18080/v1/responses",
    429: "exceeded retry limit, last status: 429 Too Many Requests",
    500: "We're currently experiencing high demand, which may cause temporary errors.",
}


def lines(script: Script) -> list[bytes]:
    """See `grammar`. A failed session ends with an error instead of its last turn."""
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


def arguments(call: Call) -> Mapping[str, Any]:
    """See `grammar`."""
    command = _command(call)
    return {"cmd": command} if command else _CHANGED if call.name == "edit" else call.arguments


def _item(state: str, **item: Any) -> bytes:
    return line(type=f"item.{state}", item=item)


def _command(call: Call) -> str:
    """Return the call's command for the shell, if it is a shell call."""
    writes = f"cat > approach.py <<'EOF'\n{call.content}\nEOF" if call.name == "write" else ""
    return call.command or writes


_CHANGED: dict[str, Any] = {"changes": [{"path": "/sandbox/workspace/approach.py", "kind": "update"}]}


_BEGINNINGS = re.compile(r"(?=([-+./:@\]\w]*))(?=(\^?[^'\\^]*))([^`$!^]*)", re.ASCII)
"""The parts of a word that can be without quotes, in single quotes, and in double quotes."""


def quoted(word: str) -> str:
    """Return the word as Codex quotes it: in parts, each as long as possible, with the plainest quoting first."""
    parts = []
    while word:
        plain, single, double = next(_BEGINNINGS.finditer(word)).groups()
        part = max(plain, single, double, key=len)
        escaped = part.replace("\\", "\\\\").replace('"', '\\"')
        parts.append(plain if part == plain else f"'{single}'" if part == single else f'"{escaped}"')
        word = word[len(part) :]
    return "".join(parts) or "''"


def _call(call: Call) -> Iterator[bytes]:
    status, command = "failed" if call.failed else "completed", _command(call)
    if command:
        item = {"id": call.id, "type": "command_execution", "command": f"/bin/sh -c {quoted(command)}"}
        yield _item("started", **item, aggregated_output="", exit_code=None, status="in_progress")
        yield _item("completed", **item, aggregated_output=call.output, exit_code=int(call.failed), status=status)
        return
    if call.name == "edit":
        item = {"id": call.id, "type": "file_change", **_CHANGED}
        yield _item("started", **item, status="in_progress")
        yield _item("completed", **item, status=status)
        return
    item = {"id": call.id, "type": "mcp_tool_call", "server": "proctor", "tool": "write"}
    result = {"content": [{"type": "text", "text": call.output}]}
    yield _item("started", **item, arguments=call.arguments, result=None, error=None, status="in_progress")
    yield _item("completed", **item, arguments=call.arguments, result=result, error=None, status=status)
