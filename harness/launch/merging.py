"""Merges the results of the parts into the launched run, as they come.

Only results that stay are taken: of sessions whose tests have all ended, and that will not run again. Cases without
such a result are missing from the run, and never count as anything. One process merges at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from harness.case_folder import CaseFolder
from harness.endings import Ending
from harness.launch.files import LaunchFolder, LaunchPlan, PartFolder
from harness.launch.new_lines import NewLines
from harness.malformed import MALFORMED
from harness.results.begun import read_begun
from harness.results.claims import RunBusyError, busy, claim, release
from harness.results.durable import flush_names, write_durably
from harness.results.record import Record
from harness.results.run_folder import CASES, RESULTS
from harness.results.runs import folder_of
from harness.results.store import planned_sessions
from harness.results.taking import take
from harness.untrusted.removal import discard

_TRIES = 30
_PAUSE_S = 1.0


class _Merged(Struct):
    """The part of a merged record that tells it from others."""

    session: str
    try_number: int = 1


class Merger:
    """Merges into the run in `folder`, again and again. After an error, make a new one.

    `secrets` are those of this host. Files of a case that a kill left unsealed are searched for them. With `None`, such
    a case waits for a process that knows them.
    """

    def __init__(self, folder: LaunchFolder, secrets: Mapping[str, str] | None) -> None:
        self._folder = folder
        self._launch: LaunchPlan = folder.read()
        self._secrets = secrets
        self._merged: set[Hashable] | None = None
        self._parts = {part.index: _PartResults(folder.part(part.index)) for part in self._launch.parts}

    def merge(self) -> int:
        """Take all results that are there now and stay. Return how many were new.

        Raise `RunBusyError` if another process merges, and `OSError` if the run cannot be written.
        """
        run = self._folder.path
        claimed = claim(run)
        try:
            if self._merged is None:
                self._merged = {*_merged_before(run / RESULTS)}
            lines = [line for part in self._parts.values() for line in self._take(part, self._merged)]
            if lines:
                with (run / RESULTS).open("ab") as file:
                    file.writelines(lines)
                    file.flush()
                    os.fsync(file.fileno())
            self._write_planned()
        finally:
            release(run, claimed)
        return len(lines)

    def _take(self, part: _PartResults, merged: set[Hashable]) -> Iterator[bytes]:
        for record in part.settled(unsealed=self._secrets is not None):
            if _key(record) in merged:
                continue
            source = None if part.run is None else folder_of(part.run, record)
            told = [] if source is None else self._take_folder(source.path)
            merged.add(_key(record))
            taken = replace(record, warnings=list(dict.fromkeys([*record.warnings, *told]))) if told else record
            yield msgspec.json.encode(taken) + b"\n"

    def _take_folder(self, source: Path) -> list[str]:
        """Take the folder of a case in one step. Return the warnings of what was left out."""
        target = self._folder.path / source.name
        new = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            told = take(source, new, self._secrets or {})
            if target.exists():  # a process that merged was killed before it wrote the record
                discard(target)
            new.rename(target)
        finally:
            discard(new)
        return told

    def _write_planned(self) -> None:
        """Write down which sessions the run consists of: for a part that has not begun, these are its cases."""
        planned: list[str] = []
        for part in self._launch.parts:
            run = self._folder.part(part.index).run
            planned += (planned_sessions(run) if run is not None else []) or part.cases
        data = msgspec.json.format(msgspec.json.encode(planned))
        file = self._folder.path / CASES
        if not file.exists() or file.read_bytes() != data:
            write_durably(file, [data])


class _PartResults:
    """The results of a part. Some may still change."""

    def __init__(self, files: PartFolder) -> None:
        self._files = files
        self._lines = NewLines()
        self._open: dict[Hashable, Record] = {}

    @property
    def run(self) -> Path | None:
        return self._files.run

    def settled(self, *, unsealed: bool) -> list[Record]:
        """Return the records that were not returned before and will not change any more.

        Cases that a kill left unsealed are among them only with `unsealed`.
        """
        run = self.run
        begun = None if run is None else read_begun(run)
        if run is None or begun is None:
            return []
        for line in self._lines.read(run / RESULTS):
            with suppress(*MALFORMED):  # `proctor report` of the part says so
                record = msgspec.json.decode(line, type=Record)
                self._open[_key(record)] = record
        status, idle = self._files.status(), unsealed and busy(run) is None
        over = status is not None and status.state == "done"
        tests: dict[str, set[str]] = {}
        for test, session in begun.tests.items():
            tests.setdefault(session, set()).add(test)
        found = {
            key: record
            for key, record in self._open.items()
            if tests.get(record.session, set()) <= record.tests.keys()
            and record.ending is not Ending.INTERRUPTED
            and (over or record.ending is not Ending.BUDGET_SPENT)
            and (idle or record.artifacts is None or _sealed(run / record.artifacts))
        }
        for key in found:
            del self._open[key]
        return list(found.values())


def try_to_merge(folder: LaunchFolder) -> None:
    """Merge what is there, unless another process does so all the time, or this is not possible here."""
    merger = Merger(folder, None)
    for _ in range(_TRIES):
        try:
            merger.merge()
        except RunBusyError:
            time.sleep(_PAUSE_S)
        except (OSError, ValueError):  # whoever looks at the run merges it
            return
        else:
            return


def begin_merged(folder: LaunchFolder) -> None:
    """Write the files of a merged run that has no results yet. Raise `OSError` if that is not possible."""
    (folder.path / RESULTS).touch(mode=0o600)
    Merger(folder, None).merge()
    flush_names(folder.path)


def _key(record: Record | _Merged) -> Hashable:
    return record.session, record.try_number


def _merged_before(results: Path) -> Iterator[Hashable]:
    """Yield the keys of the records that were merged. A line that a kill cut short is removed."""
    if not results.exists():
        return
    data = results.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(results, len(whole))
    for line in whole.split(b"\n")[:-1]:
        with suppress(*MALFORMED):
            yield _key(msgspec.json.decode(line, type=_Merged))


def _sealed(folder: Path) -> bool:
    """Return whether what the agent left is in archives."""
    return not any(map(os.path.lexists, CaseFolder(folder).agents()))
