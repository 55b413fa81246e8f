"""Reads finished runs from their folders."""

from __future__ import annotations

from pathlib import Path

from harness.case_folder import CaseFolder
from harness.results.claims import is_running
from harness.results.drafts import drafts
from harness.results.record import SCHEMA, Record
from harness.results.store import read, unrecorded


class RunError(Exception):
    """A run cannot be read, or runs do not fit together. The message names them."""


def read_run(path: Path) -> tuple[Path, list[Record]]:
    """Return the folder of a run and its records.

    `path` is the folder, a link to it such as `runs/latest`, or its `results.jsonl`. Links are resolved. If the run was
    killed, the drafts of the cases that it did not record are included. Raise `RunError` if a line is not a record, or
    if there are no records and no planned cases.
    """
    results = path if path.is_file() else path / "results.jsonl"
    folder = results.parent.resolve()
    if not folder.is_dir():
        raise RunError(f"{path}: not the folder of a run: {results} does not exist")
    try:
        records = read(results) if results.exists() else []
        records += [] if is_running(folder) else drafts(folder, records)
    except OSError as error:
        raise RunError(f"{results}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(str(error)) from error
    for record in records:
        if record.schema != SCHEMA:
            other = f"has schema {record.schema}; this version of Proctor reads schema {SCHEMA}"
            raise RunError(f"{results}: {record.case.id} {other}")
    if not records and not unrecorded(folder, records):
        raise RunError(f"{path}: not the folder of a run: {results} does not exist or has no records")
    return folder, records


def folder_of(run: Path, record: Record) -> CaseFolder | None:
    """Return the folder of a case in the folder of its run, or `None` if it has none or the folder was removed.

    A name that leads out of the folder of the run counts as none.
    """
    path = run / (record.artifacts or "..")
    inside = path.parent == run and path.name != ".." and not path.is_symlink()
    return CaseFolder(path) if inside and path.is_dir() else None
