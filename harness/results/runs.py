"""Finished runs, read from their folders."""

from __future__ import annotations

from pathlib import Path

from harness.results.record import SCHEMA, Record
from harness.results.store import read


class RunError(Exception):
    """A path is no run that can be read, or runs do not fit together; the message names them."""


def read_run(path: Path) -> tuple[Path, list[Record]]:
    """The folder of a run (`runs/latest` is resolved) and its records; `path` may also be its `results.jsonl`.

    Raises `RunError` where there are no records, or something that is none.
    """
    results = path if path.is_file() else path / "results.jsonl"
    try:
        records = read(results)
    except FileNotFoundError:
        raise RunError(f"{path}: not the folder of a run: there is no {results}") from None
    except OSError as error:
        raise RunError(f"{results}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(str(error)) from error
    for record in records:
        if record.schema != SCHEMA:
            raise RunError(f"{results}: {record.case.id}: schema {record.schema}; this Proctor reads {SCHEMA}")
    if not records:
        raise RunError(f"{results}: no case is recorded here")
    return results.resolve().parent, records
