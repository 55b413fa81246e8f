"""The index of all runs: it follows their folders, and no harm to it harms a run or an answer."""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from harness.results import history_index
from harness.results.entries import entries_of
from harness.results.history import consult, rebuild, refresh
from harness.results.history_index import INDEX, HistoryError, connected
from harness.results.run_folder import RESULTS
from harness.results.times import Times
from tests.support.cases import make_case
from tests.support.runs import night, record, write_run

CASES = {("codex", "maze"): [20, 4], ("claude", "maze"): [20, 20]}


def at(runs: Path, day: int, suite: str = "nightly") -> Path:
    return runs / f"202611{day}T010000.000Z-{suite}"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the runs of two nights."""
    for day in (23, 24):
        write_run(at(tmp_path / "runs", day), night(CASES))
    return tmp_path / "runs"


def known(runs: Path) -> dict[str, int]:
    """Return the number of entries of each run, oldest first."""
    return {past.run.name: len(past.entries) for past in consult(runs, lambda history: history.runs())[0]}


def indexed(runs: Path) -> set[str]:
    """Return the names of the runs in the index as it is."""
    with connected(runs / INDEX) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM runs")}


def notes(runs: Path) -> list[str]:
    return consult(runs, lambda history: history.runs())[1]


def test_runs_that_were_added_deleted_renamed_and_changed_are_noticed(runs: Path) -> None:
    first, second = at(runs, 23), at(runs, 24)
    assert known(runs) == {first.name: 4, second.name: 4}
    write_run(at(runs, 25), night(CASES))
    shutil.rmtree(first)
    second.rename(runs / "release")
    assert known(runs) == {"release": 4, at(runs, 25).name: 4}
    with (runs / "release" / RESULTS).open("ab") as file:  # such as a run that was resumed
        file.write(msgspec.json.encode(record("pi", "maze", 1, solved=20)) + b"\n")
    assert known(runs)["release"] == 5
    assert indexed(runs) == known(runs).keys()


def test_what_is_up_to_date_is_not_written(runs: Path) -> None:
    refresh(runs)
    before = (runs / INDEX).stat().st_mtime_ns
    assert known(runs)
    assert notes(runs) == []
    assert (runs / INDEX).stat().st_mtime_ns == before


def test_a_folder_without_runs_gets_no_index(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert known(folder) == {}
        assert refresh(folder) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no database at all" * 99, b"SQLite format 3\0 and then noise" * 200])
def test_a_damaged_index_is_made_again(runs: Path, content: bytes) -> None:
    (runs / INDEX).write_bytes(content)
    assert [note.partition("; ")[2] for note in notes(runs)] == (
        [f"it was made again, and the old file is now {runs / INDEX}.damaged"] if content else []
    )
    assert notes(runs) == []
    assert indexed(runs) == known(runs).keys() == {at(runs, 23).name, at(runs, 24).name}


def test_a_damaged_page_is_noticed(runs: Path) -> None:
    refresh(runs)
    content = bytearray((runs / INDEX).read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    (runs / INDEX).write_bytes(content)
    assert len(known(runs)) == 2
    assert indexed(runs) == known(runs).keys()


@pytest.mark.parametrize(
    "change", ["PRAGMA user_version = 99", "DROP TABLE entries", "ALTER TABLE runs DROP COLUMN size"]
)
def test_an_index_of_another_version_is_made_again(runs: Path, change: str) -> None:
    refresh(runs)
    with connected(runs / INDEX) as connection:
        connection.execute(change)
    assert len(known(runs)) == 2
    assert notes(runs) == []
    assert len(indexed(runs)) == 2


def test_rebuild_forgets_what_it_knew(runs: Path) -> None:
    refresh(runs)
    with connected(runs / INDEX) as connection:
        connection.execute("UPDATE entries SET solve_rate = 0.123")
    rebuild(runs)
    [past, _] = consult(runs, lambda history: history.runs())[0]
    assert {entry.solve_rate for entry in past.entries} == {1.0, 0.2}


def test_the_database_of_another_program_is_left_alone(runs: Path) -> None:
    with connected(runs / INDEX) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    before = (runs / INDEX).read_bytes()
    for change in (refresh, rebuild):
        with pytest.raises(HistoryError, match="a database of another program: move it away"):
            change(runs)
    assert len(known(runs)) == 2
    assert "the folders of the runs were read instead" in notes(runs)[0]
    assert (runs / INDEX).read_bytes() == before


def test_without_a_file_that_can_be_written_the_folders_answer(runs: Path) -> None:
    (runs / INDEX).mkdir()
    with pytest.raises(HistoryError, match="unable to open"):
        refresh(runs)
    assert len(known(runs)) == 2
    assert "the folders of the runs were read instead" in notes(runs)[0]


def test_a_locked_index_is_waited_for_and_then_the_folders_answer(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_index, "PATIENCE_S", 0.05)
    with connected(runs / INDEX) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HistoryError, match="locked"):
            refresh(runs)
        assert len(known(runs)) == 2


def test_a_python_without_sqlite_still_knows_how_long_cases_take(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    with pytest.raises(HistoryError, match="this Python has no SQLite"):
        refresh(runs)
    assert Times.of_runs(runs).expected_s(make_case(model="qwen")) == 30.0


def test_controllers_that_end_at_once_lose_no_row(tmp_path: Path) -> None:
    def end(number: int) -> None:
        write_run(tmp_path / str(number) / "run", night(CASES)).rename(tmp_path / "runs" / f"run-{number}")
        refresh(tmp_path / "runs")

    (tmp_path / "runs").mkdir()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(end, range(16)))
    assert indexed(tmp_path / "runs") == {f"run-{number}" for number in range(16)}


def test_lines_that_are_not_records_are_counted_but_not_the_one_that_a_crash_cut_short(runs: Path) -> None:
    with (at(runs, 23) / RESULTS).open("ab") as file:
        file.write(b'{"schema": 99}\n\n' + msgspec.json.encode(record("pi", "maze", 1, solved=20)) + b'\n{"cut')
    [past, _] = consult(runs, lambda history: history.runs())[0]
    assert (past.run.unreadable, len(past.entries)) == (1, 5)


def test_runs_are_in_the_order_of_their_first_sessions(runs: Path) -> None:
    for name, started in (("merged", "2026-11-23T00:59:00.000+00:00"), ("late", "2026-12-01T00:00:00.000+00:00")):
        write_run(runs / name, night(CASES, started_at=started))
    assert list(known(runs)) == ["merged", at(runs, 23).name, at(runs, 24).name, "late"]


def test_without_times_in_its_records_a_run_is_as_old_as_its_name_or_its_file_says(runs: Path) -> None:
    for name in ("20269999T010000.000Z-odd", "renamed"):
        write_run(runs / name, night(CASES))
        os.utime(runs / name / RESULTS, (0, 0))
    found = consult(runs, lambda history: history.runs())[0]
    assert [(past.run.name, past.run.began[:16], past.run.suite) for past in found] == [
        ("20269999T010000.000Z-odd", "1970-01-01T00:00", "odd"),
        ("renamed", "1970-01-01T00:00", None),
        (at(runs, 23).name, "2026-11-23T01:00", "nightly"),
        (at(runs, 24).name, "2026-11-24T01:00", "nightly"),
    ]


def test_a_merged_run_is_of_the_suite_of_its_parts(runs: Path) -> None:
    write_run(at(runs, 25, "nightly-merged"), night(CASES))
    write_run(at(runs, 26, "pr"), night(CASES))
    found = consult(runs, lambda history: history.runs("backend", "codex", suite="nightly"))[0]
    assert [past.run.name for past in found] == [
        at(runs, 23).name,
        at(runs, 24).name,
        at(runs, 25, "nightly-merged").name,
    ]
    assert {entry.backend for past in found for entry in past.entries} == {"codex"}


def test_a_name_may_be_of_several_kinds(runs: Path) -> None:
    write_run(at(runs, 25, "codex"), night({("maze", "codex"): [20]}))
    asked = ("codex", "maze", "qwen", "codex-qwen-maze", "codex-qwen-maze-r2", "nightly", "nobody", "")
    kinds, _ = consult(runs, lambda history: {name: history.kinds_of(name) for name in asked})
    assert kinds == {
        "codex": ["backend", "environment", "suite"],
        "maze": ["backend", "environment"],
        "qwen": ["model"],
        "codex-qwen-maze": ["case"],
        "codex-qwen-maze-r2": ["case"],
        "nightly": ["suite"],
        "nobody": [],
        "": [],
    }
    names, _ = consult(runs, lambda history: history.names())
    assert names["case"] == ["claude-qwen-maze", "codex-qwen-maze", "maze-qwen-codex"]
    assert names["suite"] == ["codex", "nightly"]


def test_an_entry_that_is_not_utf_8_or_too_large_is_not_a_record() -> None:
    line = b'{"case":{"id":"%s","model":"m","environment":"e"},"outcome":"passed","timing":{},"try_number":%d}'
    read = entries_of([line % (b"\xff", 1), line % (b"\\ud800", 1), line % (b"a", 2**63), line % (b"a", 2), b""])
    assert [(entry.case_id, entry.try_number) for entry in read.entries] == [("a", 2)]
    assert read.unreadable == 3
