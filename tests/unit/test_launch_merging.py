"""`proctor launch`: the time limit of a job, the merging of parts as they come, and their common purse. No job runs."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from harness.budget_conf import BudgetConf
from harness.endings import Ending
from harness.gateway.purse import Spend
from harness.gateway.purses import BudgetPlace, Purses, RunPart
from harness.launch.ending import closing_lines
from harness.launch.files import LaunchFolder, Part, PartFolder
from harness.launch.merging import Merger, begin_merged
from harness.launch.states import PartView
from harness.part_orders import VARIABLE, Orders
from harness.private import private_folder
from harness.results.begun import Begun, write_begun
from harness.results.claims import busy, claim, release
from harness.results.record import Record
from harness.results.run_folder import RESULTS
from harness.results.store import RunStore, planned_sessions, read, unrecorded
from tests.support import warm
from tests.support.cases import REMOTE, make_case
from tests.support.launch_plans import a_plan
from tests.support.project import Project
from tests.unit.test_results import record

FIXTURES = """\
import pytest

@pytest.fixture(scope="module")
def prepared():
    yield 1

def test_plain(prepared):
    assert prepared
"""


class TestTheTimeLimit:
    """In a part whose job is about to end, no case begins."""

    def test_a_case_that_cannot_end_in_time_is_neither_run_nor_recorded(self, tmp_path: Path) -> None:
        project = Project(tmp_path)
        project.write("test_plain.py", FIXTURES)
        cases = ["claude-scripted-small_maze", "claude-scripted-motion2d_easy"]
        files = PartFolder(tmp_path / "part")
        private_folder(files.path)
        ends_at = time.time() + 1000
        orders = Orders(cases=cases, launch=str(tmp_path), history=str(tmp_path), ends_at=ends_at, budgets="")
        files.orders.write_bytes(msgspec.json.encode(orders))
        words = project.command("test_plain.py", "test_cases.py", "--suite", "pr")
        done = warm.run(words, tmp_path, project.variables | {VARIABLE: str(files.orders)})
        assert "1 passed" in done.stdout, done.stdout
        assert "INTERNALERROR" not in done.stdout
        latest = tmp_path / "runs/latest"
        assert planned_sessions(latest) == cases, "it runs what was planned for the part"
        assert files.too_late.read_text().split() == cases
        assert unrecorded(latest, []) == cases
        assert not (latest / "results.jsonl").exists()


def part_of(launched: LaunchFolder, index: int, *records: Record) -> Path:
    """Write the run of a part that has these records. Return its folder."""
    run = launched.part(index).path / "20260102T030405.006Z-nightly"
    store = RunStore(run)
    store.begin([one.session for one in records])
    write_begun(run, Begun(tests={f"test_case[{one.session}]": one.session for one in records}))
    for one in records:
        (run / str(one.artifacts) / "submission").mkdir(parents=True)
        (run / str(one.artifacts) / "submission/approach.py").write_text(one.session)
        store.append(one)
    store.end()
    return run


def of(session: str, ending: Ending = Ending.FINISHED, **changes: Any) -> Record:
    tests = {f"test_case[{session}]": "passed"}
    return record(session, artifacts=session, session=session, ending=ending, tests=tests, **changes)


class TestMerging:
    """The results of parts are merged as they come."""

    @pytest.fixture
    def launched(self, tmp_path: Path) -> LaunchFolder:
        folder = LaunchFolder(tmp_path / "20260102T030405.006Z-nightly")
        private_folder(folder.path)
        parts = [Part(index=1, cases=["a", "b", "c"]), Part(index=2, cases=["d"])]
        folder.write(a_plan(parts=parts))
        begin_merged(folder)
        return folder

    def test_each_result_that_stays_is_taken_once_and_the_rest_is_missing(self, launched: LaunchFolder) -> None:
        assert planned_sessions(launched.path) == ["a", "b", "c", "d"]
        run = part_of(launched, 1, of("a"), of("b", Ending.INTERRUPTED), replace(of("c"), tests={}))
        merger = Merger(launched, None)
        assert (merger.merge(), merger.merge(), Merger(launched, None).merge()) == (1, 0, 0)
        assert unrecorded(launched.path, read(launched.path / RESULTS)) == ["b", "c", "d"]
        store = RunStore(run)
        store.take_up()
        store.append(of("b"))
        part_of(launched, 2, of("d"))
        assert (merger.merge(), merger.merge()) == (2, 0)
        assert [one.session for one in read(launched.path / RESULTS)] == ["a", "b", "d"]
        assert (launched.path / "d/submission/approach.py").read_text() == "d"
        assert (launched.path / "d/submission/approach.py").stat().st_nlink == 2, "it takes no further space"

    def test_a_merge_that_was_killed_is_made_up_for(self, launched: LaunchFolder) -> None:
        part_of(launched, 1, of("a"))
        (launched.path / "a").mkdir()
        with (launched.path / RESULTS).open("ab") as file:
            file.write(b'{"session": "a", "cas')
        assert Merger(launched, None).merge() == 1
        assert [one.session for one in read(launched.path / RESULTS)] == ["a"]
        assert (launched.path / "a/submission/approach.py").read_text() == "a"

    def test_the_end_names_what_is_lost_and_what_is_missing(self, launched: LaunchFolder) -> None:
        part_of(launched, 1, of("a"), of("b"), of("c"))
        Merger(launched, None).merge()
        parts = launched.read().parts
        views = [PartView(part=parts[0], phase="done"), PartView(part=parts[1], phase="lost", why="its node died")]
        lines, status = closing_lines(launched.path, views)
        assert lines[-2:] == ["part 2 is lost: its node died", "  missing, not counted as anything: d"]
        assert status == 1
        part_of(launched, 2, of("d"))
        Merger(launched, None).merge()
        assert closing_lines(launched.path, [replace(one, phase="done") for one in views])[1] == 0

    def test_a_launched_run_counts_as_written_while_a_part_is(self, launched: LaunchFolder) -> None:
        run = part_of(launched, 1, of("a"))
        assert busy(launched.path) is None
        claimed = claim(run)
        assert str(run) in str(busy(launched.path))
        release(run, claimed)


def test_all_parts_draw_on_one_purse_although_machines_share_no_memory(tmp_path: Path) -> None:
    place = BudgetPlace(file=tmp_path / "launched/budget.sqlite")
    run = RunPart(folder=tmp_path / "launched", suite="nightly")
    parts = [Purses(run, place=place) for _ in range(2)]
    case = replace(make_case(provider=REMOTE), budget=BudgetConf(requests=5))
    try:
        purses = [one.of(case) for one in parts]
        held = parts[0].submit(lambda budget: budget.reserve(parts[0].named(case.budget, "", None), Spend(requests=1)))
        parts[0].submit(lambda budget: budget.settle(held.result(), Spend(requests=1))).result()  # type: ignore[arg-type]  # there is room
        told = [one.told() for one in purses if one is not None]
    finally:
        for one in parts:
            one.close()
    assert told == [["suite.budget: 1 of 5 requests used, 4 left"]] * 2
    with closing(sqlite3.connect(place.file or "")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
