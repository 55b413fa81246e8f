"""The file of the history: its tables, and how it follows the folders of the runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import astuple

from harness.lazy import LazyModule
from harness.results.entries import HistoryEntry, RunEntries, read_entries
from harness.results.run_folder import RESULTS, suite_of, time_of
from harness.results.store import planned_sessions

if TYPE_CHECKING:
    import sqlite3
else:  # a Python may lack it, and a run must end well all the same
    sqlite3 = LazyModule("sqlite3")

INDEX = "history.db"
"""The name of the index in the folder of runs."""

PATIENCE_S = 5.0
"""How long to wait for another process that writes the index."""

_FORMAT = 2
_APPLICATION = 0x50726374
_DAMAGED = frozenset({1, 11, 24, 26})
"""SQLite's errors for a file that is not an index: no such table, corrupt, wrong format, not a database."""

_FIELDS = HistoryEntry.__struct_fields__
_SCHEMA = (
    "CREATE TABLE runs (name TEXT PRIMARY KEY, size, mtime_ns, began, suite, unreadable, unrecorded)",
    f"CREATE TABLE entries (run, {', '.join(_FIELDS)})",
    "CREATE INDEX by_run ON entries (run)",
    *(f"CREATE INDEX by_{key} ON entries ({key})" for key in ("case_id", "case_name")),
    *(f"CREATE INDEX by_{key} ON entries ({key})" for key in ("backend", "model", "environment")),
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_FORMAT}",
)
_WHOSE = (  # one statement, so that another process cannot make the tables in the middle
    "SELECT application_id, user_version, EXISTS(SELECT 1 FROM sqlite_master WHERE type = 'table') "
    "FROM pragma_application_id, pragma_user_version"
)
_INSERT = f"INSERT INTO entries VALUES ({', '.join('?' * (1 + len(_FIELDS)))})"  # noqa: S608 - only question marks
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM entries WHERE run = ?"  # noqa: S608 - only names of fields


class HistoryError(Exception):
    """The index cannot be used. The message says why. The folders of the runs are as they were."""


class DamagedIndexError(HistoryError):
    """The file is damaged. It can be made again."""


class Stamp(Struct, frozen=True):
    """The size of a file and the time of its last change. As long as both are the same, so is the file."""

    size: int
    mtime_ns: int


def stamps(runs: Path) -> dict[str, Stamp]:
    """Return the stamp of the records of each run in this folder, by the name of the run's folder."""
    found = {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(runs) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not _is_text(entry.name) or not entry.is_dir(follow_symlinks=False):
                continue
            with suppress(OSError):  # it is not a run, or it was removed just now
                seen = Path(entry.path, RESULTS).stat()
                found[entry.name] = Stamp(seen.st_size, seen.st_mtime_ns)
    return found


@contextmanager
def connected(file: Path | None, *, write: bool = True) -> Iterator[sqlite3.Connection]:
    """Open the index in `file`, or a new one in memory, and close it afterwards.

    Raise `DamagedIndexError` if it is damaged, and `HistoryError` for every other error of SQLite.
    """
    try:
        name = ":memory:" if file is None else f"{file.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        connection = sqlite3.connect(name, timeout=PATIENCE_S, isolation_level=None, uri=file is not None)
        try:
            yield connection
        finally:
            connection.close()
    except ImportError as error:
        raise HistoryError(f"this Python has no SQLite: {error}") from error
    except sqlite3.Error as error:
        damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
        raise (DamagedIndexError if damaged else HistoryError)(f"{file}: {error}") from error


def follow(connection: sqlite3.Connection, runs: Path, *, anew: bool = False) -> list[str]:
    """Make the index agree with the folders of the runs. Return what could not be read.

    An index that agrees is not written, so that it can be used on a read-only file system. `anew` forgets everything
    first.
    """
    if not anew and _is_current_format(connection) and _known(connection) == stamps(runs):
        return []
    connection.execute("BEGIN IMMEDIATE")  # other processes wait here, and look at the folders only afterwards
    try:
        if not _is_current_format(connection) or anew:
            _make_tables(connection)
        problems = _update(connection, runs, stamps(runs))
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise
    return problems


def indexed_entries(file: Path, wanted: Mapping[str, Stamp]) -> dict[str, list[HistoryEntry]]:
    """Return the entries of those runs whose stamp in the index is the wanted one, by the name of the run.

    The index is only read. Without an index that can be read, return nothing.
    """
    found: dict[str, list[HistoryEntry]] = {}
    with suppress(HistoryError), connected(file, write=False) as connection:
        if _is_current_format(connection):
            known = _known(connection, wanted)
            current = [name for name, stamp in wanted.items() if known.get(name) == stamp]
            for name in current:
                rows = connection.execute(_SELECT, (name,))
                found[name] = [HistoryEntry(*row) for row in rows]
    return found


def _is_current_format(connection: sqlite3.Connection) -> bool:
    """Return whether the tables are those of this version. Raise `HistoryError` for the file of another program."""
    application, version, has_tables = connection.execute(_WHOSE).fetchone()
    if application != _APPLICATION and has_tables:
        raise HistoryError(f"{INDEX} is a database of another program: move it away")
    return bool(application == _APPLICATION and version == _FORMAT)


def _make_tables(connection: sqlite3.Connection) -> None:
    for name in _tables(connection):  # those of another version
        connection.execute(f'DROP TABLE "{name}"')
    for statement in _SCHEMA:
        connection.execute(statement)


def _tables(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _known(connection: sqlite3.Connection, wanted: Iterable[str] | None = None) -> dict[str, Stamp]:
    """Return the stamps in the index: those of all runs, or of the wanted ones."""
    query = "SELECT name, size, mtime_ns FROM runs"
    if wanted is None:
        rows = connection.execute(query).fetchall()
    else:
        rows = [row for name in wanted for row in connection.execute(f"{query} WHERE name = ?", (name,))]
    return {name: Stamp(size, mtime_ns) for name, size, mtime_ns in rows}


def _update(connection: sqlite3.Connection, runs: Path, found: Mapping[str, Stamp]) -> list[str]:
    known, problems = _known(connection), []
    for name in known.keys() - found.keys():
        _forget(connection, name)
    for name, stamp in found.items():
        if known.get(name) != stamp:
            _forget(connection, name)
            try:
                run = read_entries(runs / name / RESULTS)
            except OSError as error:
                problems.append(f"{runs / name / RESULTS}: {error.strerror}: it is left out")
                continue
            told = (_began(name, stamp, run), _suite(name), run.unreadable, _unrecorded(runs / name, run))
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", (name, *astuple(stamp), *told))
            connection.executemany(_INSERT, ((name, *astuple(entry)) for entry in run.entries))
    return problems


def _unrecorded(folder: Path, run: RunEntries) -> int:
    """Return how many of the planned sessions have no record. An older version may have planned cases by their ids."""
    recorded = {name for entry in run.entries for name in (entry.session, entry.case_id)}
    return sum(name not in recorded for name in planned_sessions(folder))


def _forget(connection: sqlite3.Connection, run: str) -> None:
    connection.execute("DELETE FROM entries WHERE run = ?", (run,))
    connection.execute("DELETE FROM runs WHERE name = ?", (run,))


def _began(name: str, stamp: Stamp, run: RunEntries) -> str:
    """Return when the first session of a run began. A merged run may have any name, and begins with its first part.

    Older versions did not record when a session began. Then the time in the folder's name counts.
    """
    starts = [entry.started_at for entry in run.entries if entry.started_at]
    if starts:
        return min(starts)
    named = time_of(name) or datetime.fromtimestamp(stamp.mtime_ns / 1e9, UTC)
    return named.isoformat(timespec="milliseconds")


def _suite(name: str) -> str | None:
    """Return the suite in the name of a run. A merged run belongs to the suite of its parts."""
    suite = suite_of(name)
    return suite.removesuffix("-merged") if suite else None


def _is_text(name: str) -> bool:
    """Return whether the name of a folder is text. SQLite cannot keep any other name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
