"""Merges the results of several runs into one, such as those of the shards of a suite."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from harness.private import private_folder
from harness.results.record import Record
from harness.results.run_folder import CASES, RESULTS, run_name
from harness.results.runs import RunError, read_run
from harness.results.store import unrecorded
from harness.results.taking import take
from harness.untrusted.removal import discard


def merged_name(runs: Sequence[Path]) -> str:
    """Return the name of the run that merges these: the current time, and their suite if it is the same for all."""
    suites = {run.resolve().name.partition("-")[2] for run in runs}
    suite = suites.pop() if len(suites) == 1 else ""
    return run_name(f"{suite}-merged" if suite else "merged")


class Merged(Struct, frozen=True):
    """What a merge tells about the new run.

    `records` counts the records of all tries, `sessions` those of first tries. `missing` names the planned sessions
    without a record. `removed` names the case folders that were
    gone from their runs. `withheld` are the warnings of files that were left out.
    """

    records: int
    sessions: int
    missing: list[str]
    removed: list[str]
    withheld: list[str]


class _Spooled(Struct, frozen=True):
    """A record of a run that is merged, and where it stands in the file of all records."""

    order: tuple[str, int, str]
    name: str
    source: Path | None
    first_try: bool
    offset: int
    length: int


def merge(runs: Sequence[Path], into: Path, secrets: Mapping[str, str]) -> Merged:
    """Write the records, sorted by case, and case folders of all `runs` into the new folder `into`.

    `into` appears complete or not at all. The runs stay as they are. If the file system allows it, files are linked and
    not copied. What agents left as plain folders is packed into archives. Files of such cases that hold one of
    `secrets` are left out, and the records warn of them. A case whose folder was removed keeps its record. Only the
    records of one run are in memory at a time. Raise `RunError` if a run cannot be read, has no records, or shares a
    case with another run, if the folder of a case is not in its run, or if `into` exists.
    """
    if into.exists():
        raise RunError(f"{into} already exists: choose another folder")
    part = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        private_folder(part)
        with TemporaryFile(dir=part) as lines:
            entries, missing = _collected(runs, lines)
            withheld = _written(entries, lines, part, secrets)
        planned = dict.fromkeys([*(entry.name for entry in entries), *missing])
        (part / CASES).write_bytes(msgspec.json.format(msgspec.json.encode(list(planned))))
        part.rename(into)
    except OSError as error:
        raise RunError(f"{into}: {error}") from error
    finally:
        discard(part)
    sources = [entry.source.name for entry in entries if entry.source is not None]
    removed = [name for name in sources if not (into / name).exists()]
    return Merged(len(entries), sum(entry.first_try for entry in entries), missing, removed, withheld)


def _collected(runs: Sequence[Path], lines: IO[bytes]) -> tuple[list[_Spooled], list[str]]:
    """Write the records of all runs to `lines`. Return their entries, sorted, and the sessions without a record."""
    owner: dict[str, Path] = {}
    entries, missing = [], []
    for run in runs:
        folder, records = read_run(run)
        if not records:
            raise RunError(f"{folder}: the run has no records")
        _require_new(folder, {record.case.id for record in records}, owner)
        missing += unrecorded(folder, records)
        entries += [
            _spooled(folder, record, lines.tell(), lines.write(msgspec.json.encode(record))) for record in records
        ]
    return sorted(entries, key=lambda entry: entry.order), missing


def _written(entries: Sequence[_Spooled], lines: IO[bytes], part: Path, secrets: Mapping[str, str]) -> list[str]:
    """Write the run's file of records and take the case folders. Return the warnings of what is left out."""
    every = []
    with (part / RESULTS).open("wb") as results:
        for entry in entries:
            lines.seek(entry.offset)
            line = lines.read(entry.length)
            there = entry.source if entry.source is not None and entry.source.is_dir() else None
            told = take(there, part / there.name, secrets) if there is not None else []
            if told:
                record = msgspec.json.decode(line, type=Record)
                line = msgspec.json.encode(replace(record, warnings=[*dict.fromkeys([*record.warnings, *told])]))
            every += [f"{entry.order[0]}: {warning}" for warning in told]
            results.write(line + b"\n")
    return every


def _require_new(folder: Path, cases: set[str], owner: dict[str, Path]) -> None:
    """Raise `RunError` if a case is in two runs. Within one run, several tests may run the same case."""
    for case in sorted(cases & owner.keys()):
        where = f"in {owner[case]} and in {folder}" if owner[case] != folder else f"in {folder}, which is given twice"
        raise RunError(f"{case} is {where}: only runs that have no case in common can be merged")
    owner |= dict.fromkeys(cases, folder)


def _spooled(folder: Path, record: Record, offset: int, length: int) -> _Spooled:
    artifacts = record.artifacts or ""
    return _Spooled(
        order=(record.case.id, len(artifacts), artifacts),  # several tests may have run a case: its folders count up
        name=record.session or record.artifacts or record.case.id,
        source=_source(folder, record),
        first_try=record.try_number == 1,
        offset=offset,
        length=length,
    )


def _source(folder: Path, record: Record) -> Path | None:
    """Return the folder of a case, if it had one. It may have been removed.

    Raise `RunError` if it is not in that of the run.
    """
    if not record.artifacts:
        return None
    source = folder / record.artifacts
    if source.parent != folder or source.name == ".." or source.is_symlink():
        raise RunError(f"{folder}: {record.case.id}: its folder {record.artifacts} is not a folder in that of the run")
    return source
