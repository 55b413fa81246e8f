"""Reads the transcripts of a case from its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from backends.base import Backend
from backends.reading.experiment import RENDER_TOOLS
from harness.agent.stream import StreamReader, stderr_tail
from harness.case_folder import CaseFolder
from harness.transcript.fold import TEXT_CAP, TranscribedSession
from harness.transcript.metered import limits_struck, metered, read_ledger, responses
from harness.transcript.turns import Notice, Said, Thread, ToolUse, Transcript, Turn

_CHUNK = 1 << 17
_PICTURE = re.compile(r"\b(\d{4}-[A-Za-z0-9_-]{1,40}\.png)\b")


def read_transcripts(folder: CaseFolder, adapter: Backend) -> list[Transcript]:
    """Return the transcript of each attempt of a case, oldest first. Attempts without a stream are left out.

    `adapter` is that of the case's backend. A file that cannot be read becomes one of the transcript's `faults`.
    """
    earlier = sorted(folder.path.glob("attempt-*"), key=lambda path: int(path.name.rpartition("-")[2] or 0))
    folders = [*(CaseFolder(path) for path in earlier), folder]
    pictures = {path.name for path in folder.renders.glob("*.png")}
    numbered = enumerate(folders, 1)
    return [_read(one, adapter, number, pictures) for number, one in numbered if one.stream.exists()]


def _read(folder: CaseFolder, adapter: Backend, number: int, pictures: set[str]) -> Transcript:
    faults: list[str] = []
    session = TranscribedSession()
    try:
        with folder.stream.open("rb") as stream:
            _feed(StreamReader(adapter, session), stream)
        if folder.stderr.exists():
            for event in adapter.read_stderr(stderr_tail(folder.stderr)):
                session.add(event)
    except OSError as error:
        faults.append(f"{error.filename or folder.stream}: {error.strerror or error}")
    thread = session.thread
    try:
        ledger = read_ledger(folder.ledger) if folder.ledger.exists() else []
    except OSError as error:
        ledger = []
        faults.append(f"{error.filename or folder.ledger}: {error.strerror or error}")
    thread = _with_pictures(metered(thread, responses(ledger)), pictures)
    struck = [Notice(kind="limit", text=limit) for limit in limits_struck(ledger)]
    return Transcript(
        attempt=number,
        thread=msgspec.structs.replace(thread, entries=(*thread.entries, *struck)),
        prompt=_text(folder.prompt, faults),
        instructions=_text(folder.instructions, faults),
        faults=tuple(faults),
    )


def _feed(reader: StreamReader, stream: IO[bytes]) -> None:
    while chunk := stream.read(_CHUNK):
        reader.feed(chunk)
    reader.finish()


def _text(path: Path, faults: list[str]) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(4 * TEXT_CAP).decode("utf-8", "replace")[:TEXT_CAP]
    except FileNotFoundError:
        return None
    except OSError as error:
        faults.append(f"{path}: {error.strerror or error}")
        return None


def _with_pictures(thread: Thread, there: set[str]) -> Thread:
    """Return the thread with the names of the pictures that each call drew, if they are `there`."""
    entries = tuple(
        msgspec.structs.replace(entry, parts=tuple(_pictured(entry.parts, there))) if isinstance(entry, Turn) else entry
        for entry in thread.entries
    )
    return msgspec.structs.replace(thread, entries=entries)


def _pictured(parts: Sequence[Said | ToolUse], there: set[str]) -> Iterator[Said | ToolUse]:
    for part in parts:
        if isinstance(part, Said):
            yield part
            continue
        drew = part.result and part.name.endswith(RENDER_TOOLS)
        named = dict.fromkeys(_PICTURE.findall(part.result.output)) if part.result and drew else {}
        subagent = part.subagent and _with_pictures(part.subagent, there)
        yield msgspec.structs.replace(part, pictures=tuple(name for name in named if name in there), subagent=subagent)
