"""The file of records loses nothing, and no record is read in part."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.case import Limits
from harness.case_folder import CaseFolder
from harness.endings import Cause, Ending
from harness.grading import Score
from harness.report.table import table
from harness.results.drafts import read_draft, write_draft
from harness.results.record import CaseNames, CaseUsage, Record, Timing, UsageTotals, Versions
from harness.results.run_folder import run_name
from harness.results.runs import RunError, read_run
from harness.results.store import RunStore, finish_killed, read, unrecorded


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


def case_folder(run: Path, name: str) -> CaseFolder:
    return CaseFolder(run / name)


def test_the_drafts_of_stopped_cases_are_adopted_at_the_end_of_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    left = [record(ending=Ending.INTERRUPTED, explanation=name) for name in ("one", "two")]
    for name, one in zip(("case", "case.2"), left, strict=True):
        write_draft(case_folder(run, name), one)
    write_draft(case_folder(run, "case.3.killed"), record(explanation="it ran once more"))
    store = RunStore(run)
    store.append(record())
    store.end()
    assert [(one.explanation, one.artifacts) for one in read(store.results)] == [
        (record().explanation, None),
        ("one", "case"),
        ("two", "case.2"),
    ]
    assert [path.name for path in (run / "case").iterdir()] == ["result.json"]


def test_a_draft_is_gone_once_its_case_is_recorded(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_draft(case_folder(run, "case"), record(outcome="error"))
    store = RunStore(run)
    store.append(record(artifacts="case"))
    store.end()
    assert read(store.results) == [record(artifacts="case")]


def test_the_drafts_of_a_killed_run_are_read_and_the_next_run_records_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    store = RunStore(run)
    store.begin(["case", "other"])
    write_draft(case_folder(run, "case"), record(outcome="error"))
    with pytest.raises(RunError, match="not the folder of a run"):
        read_run(case_folder(run, "case").path)
    assert read_run(run)[1] == [], "it is still running"
    finish_killed(tmp_path, {})
    assert not store.results.exists()
    os.close(store._claimed or 0)  # as the end of its process does
    assert [one.artifacts for one in read_run(run)[1]] == ["case"]
    finish_killed(tmp_path, {})
    finish_killed(tmp_path, {})
    assert [one.artifacts for one in read(store.results)] == ["case"]


def test_a_draft_counts_what_the_unfinished_session_used(tmp_path: Path) -> None:
    folder = case_folder(tmp_path, "case")
    used = UsageTotals(turns=2, requests=2, tool_calls=1, input_tokens=10, output_tokens=5, cost_usd=None)
    write_draft(folder, record(usage=CaseUsage(metered=used)))
    lines = [
        {"kind": "turn", "status": 200, "usage": {"input_tokens": 7, "output_tokens": 3}, "tools_called": ["Bash"]},
        {"kind": "turn", "status": 200, "charged": {"output_tokens": 100}},
        {"kind": "side", "status": 200, "usage": {"output_tokens": 1}},
        {"kind": "count", "status": 200},
        {"kind": "turn", "status": 429, "refused": "turn_limit"},
    ]
    folder.ledger.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines) + b'{"kind": "tu')
    metered = read_draft(folder).usage.metered
    assert metered is not None
    assert (metered.turns, metered.requests, metered.tool_calls) == (3, 5, 2)
    assert (metered.input_tokens, metered.output_tokens, metered.cost_usd) == (17, 109, None)


@pytest.mark.parametrize("draft", [b'{"schema": 1', b'{"outcome": "\xff"}'], ids=["cut short", "not UTF-8"])
def test_a_draft_without_a_record_is_named(tmp_path: Path, draft: bytes) -> None:
    store = RunStore(tmp_path / "run")
    folder = case_folder(store.run, "case")
    write_draft(folder, record())
    folder.draft.write_bytes(draft)
    with pytest.raises(ValueError, match=r"case/draft\.json: not a record"):
        store.end()


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


@pytest.mark.parametrize("line", [b'{"schema": 1}', b'{"outcome": "\xff"}'], ids=["another object", "not UTF-8"])
def test_a_line_that_is_not_a_record_is_named(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "results.jsonl"
    file.write_bytes(msgspec.json.encode(record()) + b"\n" + line + b"\n")
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
