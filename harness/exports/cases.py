"""Reads the cases of a run with their transcripts, one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from backends.registry import backend
from harness.results.record import Record
from harness.results.runs import folder_of
from harness.transcript.read import read_transcripts
from harness.transcript.turns import Said, Thread, ToolUse, Transcript, Turn
from harness.visible import visible

_DEEPEST = 12
"""How many levels of subagents are exported. What is deeper counts as not shown by the CLI."""


class ExportedCase(Struct, frozen=True, kw_only=True):
    """A case with the transcripts of its attempts, oldest first.

    `run` is the name of the run's folder. `missing` says why there is no transcript. It is `None` if there is one.
    `pictures` are the files that the tools of the case drew, by name.
    """

    run: str
    record: Record
    transcripts: tuple[Transcript, ...] = ()
    pictures: dict[str, Path] = {}
    missing: str | None = None

    @property
    def name(self) -> str:
        """The name of the case, which differs for each record of a run: that of its folder, or else its id."""
        return self.record.artifacts or self.record.session or self.record.case.id

    @property
    def model(self) -> str:
        """The model with its provider."""
        return f"{self.record.case.provider}/{self.record.case.model}"


def exported_cases(run: Path, records: Iterable[Record]) -> Iterator[ExportedCase]:
    """Yield each case of a run, even without a transcript. Nothing in the folder of a case makes this raise."""
    for record in records:
        found, missing = _read(run, record)
        folder = folder_of(run, record)
        yield ExportedCase(
            run=visible(run.name),
            record=record,
            transcripts=tuple(msgspec.structs.replace(one, thread=shown(one.thread)) for one in found),
            pictures={path.name: path for path in folder.renders.glob("*.png")} if folder else {},
            missing=missing,
        )


def asked(call: ToolUse) -> str:
    """Return what a call asked of the subagent that it started, or "" if its arguments do not say it."""
    prompt = call.arguments.get("prompt") if isinstance(call.arguments, dict) else None
    return prompt if isinstance(prompt, str) else ""


def _read(run: Path, record: Record) -> tuple[list[Transcript], str | None]:
    folder = folder_of(run, record)
    if not record.case.has_agent:
        return [], "it had no agent"
    if record.outcome == "skipped":
        return [], "it was skipped"
    if folder is None:
        return [], "its folder is not there"
    try:
        found = read_transcripts(folder, backend(record.agent or record.case.backend))
    except (ValueError, OSError) as error:
        return [], str(error)
    return found, None if found else "its CLI left no stream"


def shown(thread: Thread, levels: int = _DEEPEST) -> Thread:
    """Return the thread with so many levels of subagents, and with the names of tools and models made visible.

    Readers show names as they are, even where they make other texts visible.
    """
    if not levels:
        return Thread()
    entries = tuple(_shown_turn(entry, levels) if isinstance(entry, Turn) else entry for entry in thread.entries)
    return msgspec.structs.replace(thread, entries=entries)


def _shown_turn(turn: Turn, levels: int) -> Turn:
    parts = tuple(part if isinstance(part, Said) else _shown_call(part, levels) for part in turn.parts)
    return msgspec.structs.replace(turn, model=visible(turn.model), parts=parts)


def _shown_call(call: ToolUse, levels: int) -> ToolUse:
    subagent = call.subagent and shown(call.subagent, levels - 1)
    return msgspec.structs.replace(call, name=visible(call.name), subagent=subagent)
