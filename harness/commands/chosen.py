"""Finds the case that a command is about, and its transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backends.registry import backend
from harness.case_folder import CaseFolder
from harness.commands.errors import BadInput
from harness.results.record import Record
from harness.transcript.read import read_transcripts
from harness.transcript.turns import Transcript


def chosen(records: Sequence[Record], name: str, run: Path) -> Record:
    """Return the record with this id, or the name of its folder, or the only one whose id contains `name`.

    Of several tries of a session, it is the last. Raise `BadInput` if there is none, or several.
    """
    if not records:
        raise BadInput(f"{run} has no records: no case of it has ended")
    exact = [record for record in records if name in {record.case.id, record.artifacts}]
    if exact:
        return exact[-1]
    found = {record.session or record.case.id: record for record in records if name in record.case.id}
    if len(found) == 1:
        return next(iter(found.values()))
    ids = sorted({record.case.id for record in (found.values() or records)})
    listed = ", ".join(ids[:10]) + (f", and {len(ids) - 10} more" if len(ids) > 10 else "")
    raise BadInput(f"{run.name} has {'several cases' if found else 'no case'} named {name!r}; choose one of: {listed}")


def transcripts(record: Record, run: Path) -> list[Transcript]:
    """Return the transcripts of a case. There are none without an agent. Raise `BadInput` if they cannot be read."""
    if not record.case.has_agent:
        return []
    if record.artifacts is None or not (run / record.artifacts).is_dir():
        raise BadInput(f"{record.case.id} left no folder in {run}, so its transcript is not there")
    try:
        adapter = backend(record.agent or record.case.backend)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return read_transcripts(CaseFolder(run / record.artifacts), adapter)
