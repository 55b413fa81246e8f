"""The folder of a run, `runs/<UTC time>-<suite>/`. One process appends the records there."""

from __future__ import annotations

import os
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from harness.case_folder import CaseFolder
from harness.malformed import MALFORMED
from harness.private import private_folder
from harness.results.aside import asides, is_aside, next_aside, set_aside
from harness.results.claims import RUNNING, claim, is_running, release
from harness.results.drafts import drafts
from harness.results.durable import flush_names, write_durably
from harness.results.earlier import recorded_in
from harness.results.record import RERUN, Record
from harness.results.run_folder import CASES, LATEST, RESULTS, VERDICT
from harness.results.sealing import seal_run
from harness.visible import visible_struct


class RunStore:
    """Appends records to `results.jsonl`, each line flushed to disk, and writes each into its case's folder too.

    `begin` makes the folder and points `runs/latest` to it. Until `end`, or the end of this process, the run counts as
    running. A session's record may change when another test has used the session. Then it is appended again, and the
    last one counts. `end` leaves one line for each session.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._records: dict[Hashable, Record] = {}
        self._lines = 0
        self._claimed: int | None = None

    @property
    def records(self) -> list[Record]:
        """The record of each session."""
        return list(self._records.values())

    @property
    def results(self) -> Path:
        """The file of records."""
        return self.run / RESULTS

    def begin(self, names: Sequence[str]) -> None:
        """Make the folder, and write down which cases are to run. `names` are the names of their folders.

        Raise `OSError` if the folder cannot be written, or `RunBusyError` if another process writes it.
        """
        private_folder(self.run)
        self.claim()
        write_durably(self.run / CASES, [msgspec.json.format(msgspec.json.encode(names))])
        point_latest(self.run)

    def claim(self) -> None:
        """Mark the run as running. Raise `RunBusyError` if another process writes it, and `OSError` if none can."""
        if self._claimed is None:
            self._claimed = claim(self.run)

    def resume(self, sessions: Container[str]) -> None:
        """Go on with a run that was begun before. `sessions` are those that run now, by the names of their folders.

        What such a session left is set aside, with its record. The drafts of all others that were stopped become
        records. Raise `OSError` and `ValueError` if the run cannot be read or written, or `RunBusyError` if another
        process writes it.
        """
        self.claim()
        self.take_up()
        for record in drafts(self.run, self.records):
            self.append(record)
        for record in self._last_tries():
            if record.session in sessions and RERUN not in record.tests.values():
                self._records[_key(record)] = moved = _set_aside(self.run, record)
                self._write(moved)
                self._lines += 1
        self._set_aside_unrecorded(sessions)
        self.tidy()
        (self.run / VERDICT).unlink(missing_ok=True)  # an earlier comparison is out of date
        point_latest(self.run)

    def finish(self) -> None:
        """Record the cases of a run that was killed. Raise as `resume` does."""
        self.claim()
        self.take_up()
        self.end()

    def _last_tries(self) -> list[Record]:
        """Return the record of the last try of each session."""
        ordered = sorted(self.records, key=lambda record: record.try_number)
        return list({record.session: record for record in ordered}.values())

    def _set_aside_unrecorded(self, sessions: Container[str]) -> None:
        """Set aside the folders that these sessions left without a record. They had just begun."""
        planned = {*planned_sessions(self.run)}
        known = {record.artifacts for record in self.records}
        for folder in sorted(self.run.iterdir()):
            name = folder.name if folder.name in planned else folder.name.rpartition(".")[0]
            if name in sessions and folder.name not in known and not is_aside(folder.name):
                set_aside(folder)

    def append(self, record: Record) -> None:
        """Write one record, unless it was written before. When this returns, the record survives a crash."""
        key = _key(record)
        if self._records.get(key) != record:
            self._write(record)
            self._records[key] = record
            self._lines += 1
        self._remove_draft(record)

    def _remove_draft(self, record: Record) -> None:
        if record.artifacts is not None:
            CaseFolder(self.run / record.artifacts).draft.unlink(missing_ok=True)

    def _write(self, record: Record) -> None:
        private_folder(self.run)
        line = msgspec.json.encode(record) + b"\n"
        is_new = not self.results.exists()
        with self.results.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            flush_names(self.run)
        if record.artifacts is not None:
            CaseFolder(self.run / record.artifacts).result.write_bytes(msgspec.json.format(line))

    def tidy(self) -> None:
        """Leave one line for each session in the file of records. Raise `OSError` if that is not possible."""
        if self._lines > len(self._records):
            write_durably(self.results, (msgspec.json.encode(record) + b"\n" for record in read(self.results)))
            self._lines = len(self._records)

    def take_up(self) -> None:
        """Go on with the records that the run has. Raise `OSError` or `ValueError` if they cannot be read."""
        written = self.results.read_bytes() if self.results.is_file() else b""
        self._records = {_key(record): record for record in (read(self.results) if written else [])}
        self._lines = written.count(b"\n")
        if written and not written.endswith(b"\n"):  # the next record would continue the line that a crash cut short
            self._lines = len(self._records) + 1
        self.tidy()

    def end(self) -> None:
        """Append the drafts of cases that were stopped, remove all drafts, and tidy up.

        No process may still be working on a case. Raise `OSError` if they cannot be read or written, and `ValueError`
        with the name of a file that holds no record.
        """
        try:
            for record in drafts(self.run, self.records):
                self.append(record)
            self.tidy()
            for record in self.records:  # a full disk or a kill may have kept `append` from this
                self._remove_draft(record)
        finally:
            if self._claimed is not None:
                release(self.run, self._claimed)
                self._claimed = None


def finish_killed(runs: Path, secrets: Mapping[str, str]) -> list[str]:
    """Record the cases of the newest run in this folder if that run was killed, and seal what its agents left.

    Return what could not be sealed, and what is withheld because of `secrets`. Raise as `RunStore.end` does.
    """
    latest = runs / LATEST
    if (latest / RUNNING).exists() and not is_running(latest):  # a run that ended has removed the file
        store = RunStore(latest.resolve())
        store.finish()
        return seal_run(store.run, secrets)
    return []


def unrecorded(run: Path, records: Iterable[Record]) -> list[str]:
    """Return the cases that were to run but have no record, in order. The run was stopped or is still running."""
    known = {name for record in records for name in _names(record)}
    return [name for name in planned_sessions(run) if name not in known]


def planned_sessions(run: Path) -> list[str]:
    """Return the names of the sessions that were to run. It is empty if the run was made by an older version."""
    try:
        return msgspec.json.decode((run / CASES).read_bytes(), type=list[str])
    except (OSError, *MALFORMED):
        return []


def read(results: Path) -> list[Record]:
    """Return the record of each session of a run. A last line that a crash cut short is left out.

    If any other line is not a record, raise `ValueError` with its number.
    """
    return list({_key(record): record for record in every_line(results)}.values())


def every_line(results: Path) -> Iterator[Record]:
    """Yield the record in each line of a run's file, as `read` reads it. A session may have several lines."""
    with results.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n") and not _is_json(line):
                return
            try:
                record = msgspec.json.decode(line, type=Record)
            except MALFORMED as error:
                raise ValueError(f"{results}:{number}: not a record: {error}") from error
            yield record if line.isascii() and b"\\u" not in line else visible_struct(record)


def _set_aside(run: Path, record: Record) -> Record:
    """Set aside what a session left. Return its record, which names the new folder.

    If a kill came between this and the writing of the record, the folder was set aside already.
    """
    folder = run / (record.artifacts or record.session)
    if record.artifacts is not None and folder.is_dir():
        return replace(record, artifacts=set_aside(folder).name)
    done = (path for path in asides(folder) if (left := recorded_in(path)) and left.started_at == record.started_at)
    aside = next(done, None) or next_aside(folder)
    aside.mkdir(exist_ok=True)
    return replace(record, artifacts=aside.name)


def _key(record: Record) -> Hashable:
    """Return what two records of the same session have in common."""
    return (record.session, record.try_number) if record.session else record.artifacts or id(record)


def _names(record: Record) -> Iterable[str | None]:
    """Return the names by which a run may have planned the session of a record."""
    return (record.session,) if record.session else (record.artifacts, record.case.id)


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except MALFORMED:
        return False
    return True


def point_latest(run: Path) -> None:
    """Point `latest`, beside a run, to it, in one step: the link never dangles, and survives a crash of the machine."""
    link, target = run.parent / LATEST, run.name
    new = link.with_name(f".{link.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    flush_names(link.parent)
