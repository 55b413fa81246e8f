"""Reads finished runs from their folders."""

from __future__ import annotations

from pathlib import Path

from harness.results.record import SCHEMA, Record
from harness.results.store import read


class RunError(Exception):
    """A run cannot be read, or runs do not fit together. The message names them."""


def read_run(path: Path) -> tuple[Path, list[Record]]:
    """Return the folder of a run and its records.

    `path` is the folder, a link to it such as `runs/latest`, or its `results.jsonl`. Links are resolved. Raise
    `RunError` if there are no records, or if a line is not a record.
    """
    results = path if path.is_file() else path / "results.jsonl"
    try:
        records = read(results)
    except FileNotFoundError:
        raise RunError(f"{path}: not the folder of a run: {results} does not exist") from None
    except OSError as error:
        raise RunError(f"{results}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(str(error)) from error
    for record in records:
        if record.schema != SCHEMA:
            other = f"has schema {record.schema}; this version of Proctor reads schema {SCHEMA}"
            raise RunError(f"{results}: {record.case.id} {other}")
    if not records:
        raise RunError(f"{results}: the file has no records")
    return results.resolve().parent, records
