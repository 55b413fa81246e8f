"""The file of records loses nothing, and no record is read in part."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.case import Limits, Score
from harness.endings import Cause, Ending
from harness.report.table import table
from harness.results.record import CaseNames, CaseUsage, Record, Timing, UsageTotals, Versions
from harness.results.run_folder import run_name
from harness.results.store import RunStore, read, unrecorded


def record(name: str = "claude-scripted-small_maze", **changes: object) -> Record:
    names = CaseNames(name, "claude", "scripted", "scripted", "small_maze", 1)
    base = Record(
        case=names,
        scripted=True,
        ending=Ending.FINISHED,
        cause=Cause.AGENT,
        outcome="passed",
        explanation="the agent finished",
        limits=Limits(),
        versions=Versions(harness="0"),
    )
    return msgspec.structs.replace(base, **changes)


def score(solve_rate: float) -> Score:
    return Score(
        solve_rate=solve_rate, episodes=20, solved=0, crashed=0, timed_out=0, mean_steps=None, mean_reward=None
    )


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
records = st.builds(
    record,
    st.text(),
    ending=st.sampled_from(Ending),
    explanation=st.text(),
    score=st.none() | st.builds(score, st.floats(0, 1)),
    usage=st.builds(CaseUsage, metered=st.builds(UsageTotals, turns=st.integers(0, 2**53), cost_usd=numbers)),
    timing=st.builds(Timing, agent_s=numbers),
)


@given(records)
def test_a_record_survives_json_exactly(whole: Record) -> None:
    line = msgspec.json.encode(whole)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Record) == whole


def test_records_are_read_back_in_the_order_written(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    written = [record("b"), record("a"), record("c")]
    for one in written:
        store.append(one)
    assert read(store.results) == written


def test_a_record_that_changes_is_one_record_for_its_readers(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    tries = [record(session="a", try_number=number, outcome="failed") for number in (1, 2)]
    changed = [record(session="a", try_number=1, outcome="error"), record("b", session="b")]
    for one in [*tries, *changed, changed[1]]:
        store.append(one)
    assert len(store.results.read_text().splitlines()) == 4
    assert read(store.results) == store.records == [changed[0], tries[1], changed[1]]
    store.tidy()
    assert len(store.results.read_text().splitlines()) == 3
    assert read(store.results) == store.records


def test_a_planned_session_without_a_record_is_named(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    store.begin(["a", "a.2", "b"])
    store.append(record("a", session="a", outcome="skipped"))
    assert unrecorded(store.run, store.records) == ["a.2", "b"]


def test_records_left_by_interrupted_tests_of_a_case_are_adopted(tmp_path: Path) -> None:
    left = [record(ending=Ending.INTERRUPTED, explanation=name) for name in ("one", "two")]
    for name, one in zip(("case.2", "case"), left, strict=True):
        RunStore(tmp_path / "run").leave(one, name)
    store = RunStore(tmp_path / "run")
    store.append(record())
    store.take_left()
    assert read(store.results) == [record(), *left]
    assert [path.name for path in store.run.iterdir()] == ["results.jsonl"]


def test_a_leftover_file_without_a_record_is_named(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    store.leave(record(), "case")
    (store.run / "interrupted/case.json").write_bytes(b'{"schema": 1')
    with pytest.raises(ValueError, match=r"interrupted/case\.json: not a record"):
        store.take_left()


def test_a_run_without_records_leaves_no_folder(tmp_path: Path) -> None:
    RunStore(tmp_path / "runs" / "run")
    assert list(tmp_path.iterdir()) == []


def test_latest_points_to_the_newest_run(tmp_path: Path) -> None:
    for name in ("first", "second"):
        RunStore(tmp_path / name).begin(["a"])
    assert (tmp_path / "latest").resolve() == tmp_path / "second"


@given(cut=st.integers(0, 400))
def test_a_file_cut_anywhere_gives_the_complete_records_before_the_cut(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    line = msgspec.json.encode(record()) + b"\n"
    file = tmp_path_factory.mktemp("cut") / "results.jsonl"
    cut = min(cut, len(line) - 2)
    file.write_bytes(line + line[:cut])
    assert read(file) == [record()]


def test_a_line_that_is_not_a_record_is_named(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_bytes(msgspec.json.encode(record()) + b'\n{"schema": 1}\n')
    with pytest.raises(ValueError, match=r"results\.jsonl:2: not a record"):
        read(file)


def test_runs_sort_by_time() -> None:
    early, late = datetime(2026, 1, 2, 3, 4, 5, 6000, UTC), datetime(2026, 1, 2, 3, 4, 5, 7000, UTC)
    assert run_name("default", early) == "20260102T030405.006Z-default"
    assert run_name("a", early) < run_name("a", late)


def test_the_table_shows_a_missing_measurement_as_missing() -> None:
    lines = table(
        [
            record("b", outcome="error", ending=Ending.MODEL_ERROR, explanation="HTTP 500\nthe remedy"),
            record("a", score=score(0.0), outcome="failed", timing=Timing(setup_s=1.0, agent_s=2.0)),
        ]
    )
    assert lines[0].split() == ["case", "outcome", "solve", "rate", "turns", "cost", "$", "seconds", "why"]
    assert lines[1].split()[:6] == ["a", "failed", "0.00", "-", "-", "3.0"]
    assert lines[2].split()[:6] == ["b", "error", "-", "-", "-", "-"]
    assert "model_error: HTTP 500 the remedy" in lines[2]


def test_the_table_shows_the_whole_time_of_each_try() -> None:
    timing = Timing(total_s=70.0, server_s=50.0, waited_s=9.0, setup_s=1.0, agent_s=8.0, evaluation_s=1.0)
    lines = table([record("a", session="a", try_number=2), record("a", session="a", timing=timing)])
    assert lines[1].split() == ["a", "passed", "-", "-", "-", "70.0"]
    assert lines[2].startswith("a (try 2)  passed")
