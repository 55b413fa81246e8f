"""`proctor decode`: reads one recorded stream of a CLI and prints a summary."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import IO, Any

import msgspec

from backends.base import Backend
from backends.events import plain
from backends.registry import backend, checked, names
from backends.session import Session
from harness.agent.ending import classify
from harness.agent.stream import StreamReader, stderr_tail
from harness.commands.errors import BadInput
from harness.endings import ENDINGS, Ending
from harness.imports import is_import_path, load_object, make_importable
from harness.visible import visible

CHUNK = 1 << 17


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor decode`."""
    parser.add_argument(
        "backend", help=f"{', '.join(names())}, or the import path of an adapter of yours: mylab.backends:BACKEND"
    )
    parser.add_argument("file", help="the recorded standard output; - for standard input")
    parser.add_argument("--exit-code", type=int, metavar="N", help="the CLI's exit code, if known")
    parser.add_argument("--stderr", type=Path, metavar="FILE", help="the CLI's recorded standard error")


def run(given: argparse.Namespace) -> int:
    """Print a summary of the stream, as JSON. Raise `BadInput` or `OSError`."""
    if given.file == "-" and sys.stdin is None:
        raise BadInput("standard input is closed")
    try:
        _adapter(given.backend)
    except ValueError as error:
        raise BadInput(str(error)) from error
    result = decode_file(given.backend, given.file, exit_code=given.exit_code, stderr=given.stderr)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    print(text if visible(text) == text else json.dumps(result, indent=2))
    return 0


def decode_file(
    name: str, path: str, *, exit_code: int | None = None, stderr: str | Path | None = None
) -> dict[str, Any]:
    """Return a summary of the recorded stream of backend `name`.

    `name` may be an import path. `path` names the file of the stream; `-` means standard input. `exit_code` is that of
    the CLI, if known. `stderr` names the file of the CLI's standard error. Memory use does not grow with the file.
    Raise `ValueError` for an unknown backend, and `OSError` for a file that cannot be read.
    """
    adapter = _adapter(name)
    if path == "-":
        session = read_session(adapter, sys.stdin.buffer)
    else:
        with Path(path).open("rb") as stream:
            session = read_session(adapter, stream)
    tail = stderr_tail(Path(stderr)) if stderr else ""
    for event in adapter.read_stderr(tail):
        session.add(event)
    return summary(session, exit_code=exit_code, stderr_tail=tail)


def _adapter(name: str) -> Backend:
    """Return the adapter of that name, or at that import path. Raise `ValueError` if there is none."""
    if not is_import_path(name):
        return backend(name)
    make_importable(Path.cwd())
    found = load_object(name)
    return checked(found, getattr(found, "name", ""))


def read_session(adapter: Backend, stream: IO[bytes]) -> Session:
    """Read a stream to its end, and return the session that it describes."""
    reader = StreamReader(adapter)
    while chunk := stream.read(CHUNK):
        reader.feed(chunk)
    reader.finish()
    return reader.session


def summary(session: Session, *, exit_code: int | None, stderr_tail: str) -> dict[str, Any]:
    """Return the JSON object that `decode` prints."""
    ending, explanation = classify(session, exit_code=exit_code, stderr_tail=stderr_tail)
    return {
        "turns": session.turns,
        "tool_calls": session.tool_calls,
        "tool_errors": session.tool_errors,
        "usage": msgspec.to_builtins(session.usage),
        "usage_by_model": msgspec.to_builtins(session.usage_by_model),
        "cost_usd": session.cost_usd,
        "ending": ending.value,
        "cause": ENDINGS[ending].cause.value,
        "error": None if ending is Ending.FINISHED else explanation,
        "api_retries": session.retries,
        "mcp_servers": session.mcp_servers,
        "session_id": session.session_id,
        "subagents": session.subagents,
        "compactions": session.compactions,
        "denials": session.denials,
        "experiment_s": session.experiment_s,
        "other_tools_s": session.other_tools_s,
        "unknown_events": session.unknown_events,
        "unknown_sample": plain(session.unknown_sample),
        "malformed_lines": session.malformed_lines,
        "malformed_sample": plain(session.malformed_sample),
    }
