"""Keeps one run as the page shows it, while other processes write it. Only what is new is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.malformed import MALFORMED
from harness.page.overview import AboutRun, commit_of
from harness.page.rows import CaseRow, case_row
from harness.report.verdicts import Compared, read_verdict
from harness.results.aside import is_aside
from harness.results.claims import RUNNING, is_running
from harness.results.drafts import read_draft
from harness.results.entries import HistoryEntry, entries_of
from harness.results.episodes import solved_flags
from harness.results.record import SCHEMA, Record
from harness.results.run_folder import CASES, RESULTS, VERDICT, suite_of
from harness.results.runs import RunError, folder_of
from harness.results.store import planned_sessions
from harness.verdict.trials import Trial, trial_of
from harness.viewer.growing import GrowingFile, stamp_of
from harness.visible import visible, visible_struct

_MOST = 1 << 30
_VERSIONS = count(1)


class ShownRecord(Struct, frozen=True, kw_only=True):
    """What the page needs of a record. The record itself is not kept, because a folder of runs may hold very many.

    `data` is the place of its line in `results.jsonl` (offset and length), or the record if it has no line.
    """

    session: str
    try_number: int
    names: tuple[str, ...]
    artifacts: str | None
    commit: str
    row: CaseRow
    trial: Trial
    entry: HistoryEntry | None
    data: tuple[int, int] | Record


class RunState(Struct, frozen=True, kw_only=True):
    """Whether a run goes on, and how far it is.

    `state` is `running`, `killed` (its process is gone, and did not end the run), `stopped` (planned cases have no
    record) or `ended`.
    """

    name: str
    state: str
    recorded: int
    planned: int


def key_of(run: str, name: str) -> str:
    """Return the key of a case in the page: a digest of the names of its run and its folder. It never changes."""
    return hashlib.sha256(f"{run}\0{name}".encode("utf-8", "replace")).hexdigest()[:16]


class FollowedRun:
    """A run and what is known of it. `update` reads what is new. If there is anything, `version` is a new number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = 0
        self.verdict: Compared | None = None
        self.faults: list[str] = []
        self._records: dict[tuple[str, int], ShownRecord] = {}
        self._results = GrowingFile(folder / RESULTS)
        self._rest = b""
        self._offset = 0
        self._unreadable = 0
        self._planned: list[str] = []
        self._running = False
        self._seen: tuple[object, ...] = ()

    @property
    def records(self) -> list[ShownRecord]:
        """The records, one for each try of a session."""
        return list(self._records.values())

    @property
    def trials(self) -> Iterator[Trial]:
        """The trials. Of several tries of a session, it is the first with a grade, or else the last."""
        tries: dict[str, ShownRecord] = {}
        for one in sorted(self._records.values(), key=lambda one: one.try_number):
            kept = tries.get(one.session)
            if kept is None or kept.trial.missing:
                tries[one.session] = one
        return (one.trial for one in tries.values())

    @property
    def unrecorded(self) -> list[str]:
        """The planned sessions without a record, in order."""
        known = {name for one in self._records.values() for name in one.names}
        return [name for name in self._planned if name not in known]

    @property
    def state(self) -> RunState:
        """How far the run is."""
        left = len(self.unrecorded)
        ended = "killed" if (self.folder / RUNNING).exists() else "stopped" if left else "ended"
        return RunState(
            name=visible(self.folder.name),
            state="running" if self._running else ended,
            recorded=len(self._planned) - left,
            planned=len(self._planned),
        )

    @property
    def about(self) -> AboutRun:
        """What the page says of the run."""
        starts = [one.row.started_at for one in self._records.values() if one.row.started_at]
        return AboutRun(
            name=visible(self.folder.name),
            folder=visible(str(self.folder)),
            suite=suite_of(self.folder.name),
            began=min(starts, default=None),
            cases=len(self._records),
            harness=sorted({one.commit for one in self._records.values()}),
        )

    def update(self) -> None:
        """Read what has changed. Nothing that the folder holds makes this raise."""
        self._running = is_running(self.folder)
        planned = stamp_of(self.folder / CASES)
        seen = (stamp_of(self._results.path), stamp_of(self.folder / VERDICT), planned, self._running)
        if seen == self._seen:
            return
        if not self._seen or self._seen[2] != planned:
            self._planned = planned_sessions(self.folder)
        self._seen = seen
        self.version = next(_VERSIONS)
        self.faults = []
        try:
            self._read_results()
        except OSError as error:
            self.faults.append(f"{RESULTS} cannot be read: {error.strerror}")
        if self._unreadable:
            self.faults.append(f"{RESULTS}: left out what is not a record (lines: {self._unreadable})")
        if not self._running and self.unrecorded:
            self._read_drafts()
        self._read_verdict()

    def has(self, key: str) -> bool:
        """Return whether there is a record with this key."""
        return any(one.row.key == key for one in self._records.values())

    def record(self, key: str) -> Record | None:
        """Return the record of the case with this key, or `None` if it is not there any more."""
        data = next((one.data for one in self._records.values() if one.row.key == key), None)
        if data is None or isinstance(data, Record):
            return data
        offset, length = data
        with suppress(OSError, *MALFORMED), self._results.path.open("rb") as file:
            file.seek(offset)
            return visible_struct(msgspec.json.decode(file.read(length), type=Record))
        return None

    def _read_results(self) -> None:
        if self._results.is_new():
            self._records, self._rest, self._offset, self._unreadable = {}, b"", 0, 0
        *lines, self._rest = (self._rest + self._results.read(_MOST)).split(b"\n")
        for line in lines:
            self._unreadable += not self._take(line, (self._offset, len(line)))
            self._offset += len(line) + 1
        if self._rest and not self._running:  # the last line may lack its end
            self._take(self._rest, (self._offset, len(self._rest)))

    def _take(self, line: bytes, place: tuple[int, int]) -> bool:
        """Add the record in a line, and return whether it is one."""
        try:
            record = msgspec.json.decode(line, type=Record)
        except MALFORMED:
            return False
        if record.schema != SCHEMA:
            return False
        self._add(record if line.isascii() and b"\\u" not in line else visible_struct(record), line, place)
        return True

    def _add(self, record: Record, line: bytes, data: tuple[int, int] | Record) -> None:
        session = record.session or record.artifacts or f"{record.case.id} {len(self._records)}"
        key = key_of(self.folder.name, record.artifacts or f"{session} {record.try_number}")
        names = (record.session,) if record.session else (record.artifacts or "", record.case.id)
        self._records[session, record.try_number] = ShownRecord(
            session=session,
            try_number=record.try_number,
            names=names,
            artifacts=record.artifacts,
            commit=commit_of(record),
            row=case_row(record, 0, key),
            trial=self._trial(record),
            entry=next(iter(entries_of([line]).entries), None),
            data=data,
        )

    def _trial(self, record: Record) -> Trial:
        """Return the trial of a record with its solve rate alone. The rest takes much room, and time to summarize."""
        folder, solved = folder_of(self.folder, record), None
        with suppress(OSError):
            solved = solved_flags(folder.episodes) if folder else None
        trial = trial_of(record, run=self.folder.name, conditions={}, solved=solved)
        return msgspec.structs.replace(trial, cost_usd=None, turns=None, tokens=None, seconds=None)

    def _read_drafts(self) -> None:
        """Add what a killed process left of its cases."""
        for name in case_folders(self.folder, {one.artifacts for one in self._records.values()}):
            try:
                record = visible_struct(read_draft(CaseFolder(self.folder / name)))
            except (OSError, ValueError) as error:
                self.faults.append(f"the draft of {visible(name)} cannot be read: {visible(str(error))}")
            else:
                self._add(record, msgspec.json.encode(record), record)

    def _read_verdict(self) -> None:
        file = self.folder / VERDICT
        try:
            self.verdict = read_verdict(file) if file.exists() else None
        except (RunError, OSError) as error:
            self.verdict = None
            self.faults.append(visible(str(error)))


def case_folders(run: Path, recorded: set[str | None]) -> list[str]:
    """Return the names of the folders of cases that have a draft and no record, sorted."""
    try:
        entries = [path for path in run.iterdir() if path.name not in recorded and not is_aside(path.name)]
    except OSError:
        return []
    return sorted(path.name for path in entries if stamp_of(CaseFolder(path).draft) and not path.is_symlink())
