"""The history: all runs of a folder, by the index `history.db` in it.

The index holds nothing that the folders of the runs do not. A run that was added, deleted, renamed or changed is
noticed by the size and the time of its `results.jsonl`. An index that is damaged or from another version is made again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from harness.results.entries import HistoryEntry
from harness.results.history_index import INDEX, DamagedIndexError, HistoryError, connected, follow, stamps

if TYPE_CHECKING:
    import sqlite3

KINDS = {
    "case": "(case_name = :name OR case_id = :name)",
    "backend": "backend = :name",
    "model": "model = :name",
    "environment": "environment = :name",
    "suite": "run IN (SELECT name FROM runs WHERE suite = :name)",
}
"""What a name in the history can be, and the rows that have the name."""

_COLUMNS = ", ".join(HistoryEntry.__struct_fields__)

T = TypeVar("T")


class IndexedRun(Struct, frozen=True):
    """A run in the index.

    `began` is when its first session began, in UTC (ISO 8601). `suite` is `None` if the folder's name does not tell it.
    `unreadable` counts the lines that are not records, and `unrecorded` the planned sessions without a record.
    """

    name: str
    began: str
    suite: str | None
    unreadable: int
    unrecorded: int = 0


class PastRun(Struct, frozen=True):
    """A run and those of its entries that were asked for."""

    run: IndexedRun
    entries: list[HistoryEntry]


class History:
    """Answers questions about the runs of a folder. `consult` makes one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def is_empty(self) -> bool:
        """Return whether there is no record at all."""
        return self._connection.execute("SELECT 1 FROM entries LIMIT 1").fetchone() is None

    def names(self) -> dict[str, list[str]]:
        """Return the names of each kind, sorted. The ids of single replicates are left out."""
        columns = {kind: f"{'case_name' if kind == 'case' else kind} FROM entries" for kind in KINDS}
        columns["suite"] = "suite FROM runs"
        found = {kind: self._connection.execute(f"SELECT DISTINCT {column}") for kind, column in columns.items()}
        return {kind: sorted(name for (name,) in rows if name) for kind, rows in found.items()}

    def kinds_of(self, name: str) -> list[str]:
        """Return what this name is: a case, a backend, a model, an environment, a suite, or several of them."""
        queries = {kind: f"SELECT 1 FROM entries WHERE {having} LIMIT 1" for kind, having in KINDS.items()}  # noqa: S608 - only names of columns
        return [kind for kind, query in queries.items() if self._connection.execute(query, {"name": name}).fetchone()]

    def runs(self, kind: str | None = None, name: str = "", *, suite: str | None = None) -> list[PastRun]:
        """Return the runs with entries that have this name, oldest first. Without a kind, return all entries."""
        chosen = "TRUE" if suite is None else "run IN (SELECT name FROM runs WHERE suite = :suite)"
        having = KINDS[kind] if kind else "TRUE"
        query = f"SELECT run, {_COLUMNS} FROM entries WHERE {having} AND {chosen} ORDER BY rowid"  # noqa: S608 - only names of columns
        found = defaultdict[str, list[HistoryEntry]](list)
        for run, *values in self._connection.execute(query, {"name": name, "suite": suite}):
            found[run].append(HistoryEntry(*values))
        order = self._connection.execute(
            "SELECT name, began, suite, unreadable, unrecorded FROM runs ORDER BY began, name"
        )
        return [PastRun(IndexedRun(*row), found[row[0]]) for row in order if row[0] in found]


def refresh(runs: Path) -> list[str]:
    """Bring the index of this folder up to date. Return what the user should know. Raise `HistoryError`."""
    return _consult_index(runs, lambda _: None)[1]


def rebuild(runs: Path) -> list[str]:
    """Make the index again from the folders. Return what the user should know. Raise `HistoryError`."""
    return _consult_index(runs, lambda _: None, anew=True)[1]


def consult(runs: Path, question: Callable[[History], T]) -> tuple[T, list[str]]:
    """Return the answer to a question, and what the user should know about it.

    The index is brought up to date first. If it cannot be written, the question is answered from the folders. So the
    question may be asked twice. Raise `HistoryError` if this Python has no SQLite.
    """
    try:
        return _consult_index(runs, question)
    except HistoryError as error:
        answer, problems = _answer(None, runs, question)
        return answer, [f"{error}; the folders of the runs were read instead", *problems]


def _consult_index(runs: Path, question: Callable[[History], T], *, anew: bool = False) -> tuple[T, list[str]]:
    """Do as `consult` does, but raise `HistoryError` if the index cannot be written. `anew` makes it again first."""
    file = runs / INDEX
    if not file.exists() and not stamps(runs):
        return _answer(None, runs, question)
    try:
        return _answer(file, runs, question, anew=anew)
    except DamagedIndexError as error:
        aside = _set_aside(file)
        answer, problems = _answer(file, runs, question)
        return answer, [f"{error}; it was made again, and the old file is now {aside}", *problems]


def _answer(
    file: Path | None, runs: Path, question: Callable[[History], T], *, anew: bool = False
) -> tuple[T, list[str]]:
    with connected(file) as connection:
        problems = follow(connection, runs, anew=anew)
        return question(History(connection)), problems


def _set_aside(file: Path) -> Path:
    """Rename a file that is not an index. Remove SQLite's note on a transaction that was cut off."""
    aside = file.with_name(f"{file.name}.damaged")
    try:
        file.with_name(f"{file.name}-journal").unlink(missing_ok=True)
        file.replace(aside)
    except OSError as error:
        raise HistoryError(f"{file}: {error.strerror}") from error
    return aside
