"""Merges the results of several runs into one, such as those of the shards of a suite."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from harness.private import private_folder
from harness.results.record import Record
from harness.results.run_folder import CASES, run_name
from harness.results.runs import RunError, read_run
from harness.results.store import unrecorded
from harness.results.taking import take
from harness.untrusted.removal import discard


def merged_name(runs: Sequence[Path]) -> str:
    """Return the name of the run that merges these: the current time, and their suite if it is the same for all."""
    suites = {run.resolve().name.partition("-")[2] for run in runs}
    suite = suites.pop() if len(suites) == 1 else ""
    return run_name(f"{suite}-merged" if suite else "merged")


def merge(runs: Sequence[Path], into: Path, secrets: Mapping[str, str]) -> list[Record]:
    """Write the records and case folders of all `runs` into the new folder `into`. Return the records, sorted by case.

    `into` appears complete or not at all. The runs stay as they are. If the file system allows it, files are linked and
    not copied. What agents left as plain folders is packed into archives. Files of such cases that hold one of
    `secrets` are left out, and the records warn of them. A case whose folder was removed keeps its record. Raise
    `RunError` if a run cannot be read, has no records, or shares a case with another run, if the folder of a case is
    not in its run, or if `into` exists.
    """
    whole = [read_run(run) for run in runs]
    for folder, records in whole:
        if not records:
            raise RunError(f"{folder}: the run has no records")
    _require_distinct(whole)
    found = [(record, _source(folder, record)) for folder, records in whole for record in records]
    found.sort(key=lambda one: _order(one[0]))
    missing = [name for folder, found in whole for name in unrecorded(folder, found)]
    if into.exists():
        raise RunError(f"{into} already exists: choose another folder")
    part = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        private_folder(part)
        records = [_taken(record, source, part, secrets) for record, source in found]
        (part / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
        planned = dict.fromkeys(
            [*(record.session or record.artifacts or record.case.id for record in records), *missing]
        )
        (part / CASES).write_bytes(msgspec.json.format(msgspec.json.encode(list(planned))))
        part.rename(into)
    except OSError as error:
        raise RunError(f"{into}: {error}") from error
    finally:
        discard(part)
    return records


def _require_distinct(whole: Iterable[tuple[Path, list[Record]]]) -> None:
    """Raise `RunError` if a case is in two runs. Within one run, several tests may run the same case."""
    owner: dict[str, Path] = {}
    for folder, records in whole:
        mine = {record.case.id for record in records}
        for case in sorted(mine & owner.keys()):
            where = (
                f"in {owner[case]} and in {folder}" if owner[case] != folder else f"in {folder}, which is given twice"
            )
            raise RunError(f"{case} is {where}: only runs that have no case in common can be merged")
        owner |= dict.fromkeys(mine, folder)


def _taken(record: Record, source: Path | None, part: Path, secrets: Mapping[str, str]) -> Record:
    """Take the folder of a case, if it is there. Return its record, with a warning of each file that is left out."""
    told = take(source, part / source.name, secrets) if source is not None and source.is_dir() else []
    return replace(record, warnings=list(dict.fromkeys([*record.warnings, *told]))) if told else record


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


def _order(record: Record) -> tuple[str, int, str]:
    """Return the sort key: by case, then by the number of its folder, since several tests may have run it."""
    folder = record.artifacts or ""
    return record.case.id, len(folder), folder
