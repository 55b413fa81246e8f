"""The folder of a run, `runs/<UTC time>-<suite>/`. One process appends the records there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from harness.case_folder import CaseFolder
from harness.results.drafts import claim, drafts, is_running
from harness.results.record import Record
from harness.results.run_folder import CASES, LATEST, RESULTS


class RunStore:
    """Appends records to `results.jsonl`, each line flushed to disk, and writes each into its case's folder too.

    `begin` makes the folder and points `runs/latest` to it. Until `end`, or the end of this process, the run counts as
    running.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.records: list[Record] = []
        self._claimed: int | None = None

    @property
    def results(self) -> Path:
        """The file of records."""
        return self.run / RESULTS

    def begin(self, names: Sequence[str]) -> None:
        """Make the folder, and write down which cases are to run. `names` are the names of their folders.

        Raise `OSError` if the folder cannot be written.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        new = self.run / f".{CASES}.{os.getpid()}"
        new.write_bytes(msgspec.json.format(msgspec.json.encode(names)))
        new.replace(self.run / CASES)
        self._claimed = claim(self.run)
        _point(self.run.parent / LATEST, self.run.name)

    def append(self, record: Record) -> None:
        """Write one record. When this returns, the record survives a crash."""
        self.run.mkdir(parents=True, exist_ok=True)
        line = msgspec.json.encode(record) + b"\n"
        with self.results.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if record.artifacts is not None:
            folder = CaseFolder(self.run / record.artifacts)
            folder.result.write_bytes(msgspec.json.format(line))
            folder.draft.unlink(missing_ok=True)
        self.records.append(record)

    def end(self) -> None:
        """Append the drafts of cases that were stopped. No process of the run may still be working on a case.

        Raise `OSError` if they cannot be read or written, and `ValueError` with the name of a file that holds no
        record.
        """
        try:
            for record in drafts(self.run, self.records):
                self.append(record)
        finally:
            if self._claimed is not None:
                os.close(self._claimed)
                self._claimed = None


def finish_killed(runs: Path) -> None:
    """Record the cases of the newest run in this folder if that run was killed. Raise as `RunStore.end` does."""
    latest = runs / LATEST
    if latest.is_dir() and not is_running(latest):
        store = RunStore(latest.resolve())
        store.records = read(store.results) if store.results.is_file() else []
        store.end()


def unrecorded(run: Path, records: Iterable[Record]) -> list[str]:
    """Return the cases that were to run but have no record, in order. The run was stopped or is still running."""
    try:
        names = msgspec.json.decode((run / CASES).read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError):  # the run was made by an older version
        return []
    known = {name for record in records for name in (record.artifacts, record.case.id)}
    return [name for name in names if name not in known]


def read(results: Path) -> list[Record]:
    """Return the records of a run. A last line that a crash cut short is left out.

    If any other line is not a record, raise `ValueError` with its number.
    """
    lines = results.read_bytes().split(b"\n")
    whole, rest = lines[:-1], lines[-1]
    records = []
    for number, line in enumerate([*whole, *([rest] if _is_json(rest) else [])], 1):
        try:
            records.append(msgspec.json.decode(line, type=Record))
        except msgspec.MsgspecError as error:
            raise ValueError(f"{results}:{number}: not a record: {error}") from error
    return records


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return True


def _point(link: Path, target: str) -> None:
    """Make `link` point to `target` in one step, so that it never dangles."""
    new = link.with_name(f".{link.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
