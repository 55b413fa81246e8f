"""Reads what earlier sessions of a case left, when the case runs again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from harness.case_folder import CaseFolder
from harness.malformed import MALFORMED
from harness.results.aside import asides
from harness.results.drafts import with_unfinished
from harness.results.record import EarlierSession, Record
from harness.results.usage import total_usage


def earlier_sessions(folder: CaseFolder) -> list[EarlierSession]:
    """Return the sessions that were set aside for this folder, oldest first.

    A session is left out if it was killed before it wrote a draft of its record: it had asked no model yet. A worker
    may go on writing for a moment after its main process was killed, so a session may be found twice. It counts once.
    """
    found = [earlier for path in asides(folder.path) if (earlier := _earlier(CaseFolder(path))) is not None]
    once = {earlier.started_at or earlier.artifacts: earlier for earlier in found}
    return sorted(once.values(), key=lambda earlier: earlier.started_at or "")


def recorded_in(folder: Path) -> Record | None:
    """Return the record or the draft in the folder of a case, or `None` if there is none that can be read."""
    for path in (CaseFolder(folder).result, CaseFolder(folder).draft):
        with suppress(OSError, *MALFORMED):
            return msgspec.json.decode(path.read_bytes(), type=Record)
    return None


def _earlier(folder: CaseFolder) -> EarlierSession | None:
    record = recorded_in(folder.path)
    if record is None:
        return None
    own = total_usage(record.attempts)
    with suppress(OSError):
        own = with_unfinished(own, record, folder)
    return EarlierSession(
        started_at=record.started_at,
        ending=record.ending,
        cause=record.cause,
        explanation=record.explanation,
        usage=own,
        timing=record.timing,
        attempts=record.attempts,
        artifacts=folder.path.name,
    )
