"""`python -m harness decode`: reads one recorded stream and says what it adds up to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, Any

import msgspec

from backends.base import Backend
from backends.registry import backend
from backends.session import Session
from harness.agent.ending import classify
from harness.agent.stream import Line, LineReader
from harness.case import ENDINGS, Ending

_CHUNK = 1 << 20
_STDERR_TAIL = 1 << 16


def decode_file(
    name: str, path: str, *, exit_code: int | None = None, stderr: str | Path | None = None
) -> dict[str, Any]:
    """What the stream of backend `name` in the file `path` (`-`: standard input) adds up to; see design.md.

    `stderr` names the file of the CLI's standard error. Memory is constant. Raises `ValueError` for an unknown
    backend and `OSError` for a file that cannot be read.
    """
    adapter = backend(name)
    if path == "-":
        session = read_session(adapter, sys.stdin.buffer)
    else:
        with Path(path).open("rb") as stream:
            session = read_session(adapter, stream)
    tail = _tail(Path(stderr)) if stderr else ""
    for event in adapter.read_stderr(tail):
        session.add(event)
    return summary(session, exit_code=exit_code, stderr_tail=tail)


def read_session(adapter: Backend, stream: IO[bytes]) -> Session:
    """The session that a stream adds up to."""
    session, reader = Session(), LineReader()
    while chunk := stream.read(_CHUNK):
        _add(session, adapter, reader.feed(chunk))
    _add(session, adapter, reader.finish())
    return session


def summary(session: Session, *, exit_code: int | None, stderr_tail: str) -> dict[str, Any]:
    """The JSON object that `decode` prints."""
    ending, explanation = classify(session, exit_code=exit_code, stderr_tail=stderr_tail, stopped_by=None)
    return {
        "turns": session.turns,
        "tool_calls": session.tool_calls,
        "tool_errors": session.tool_errors,
        "usage": msgspec.to_builtins(session.usage),
        "cost_usd": session.cost_usd,
        "ending": ending.value,
        "cause": ENDINGS[ending].cause.value,
        "error": None if ending is Ending.FINISHED else explanation,
        "api_retries": session.retries,
        "mcp_servers": session.mcp_servers,
        "session_id": session.session_id,
        "unknown_events": session.unknown_events,
        "malformed_lines": session.malformed_lines,
    }


def _add(session: Session, adapter: Backend, lines: list[Line]) -> None:
    for line in lines:
        for event in adapter.decode(line.data):
            session.add(event)


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _STDERR_TAIL))
        return file.read(_STDERR_TAIL).decode("utf-8", "replace")
