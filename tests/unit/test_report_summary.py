"""The summary in Markdown that a CI job shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.commands.main import main
from harness.endings import Ending
from harness.report.summary import escape, markdown
from harness.report.table import table
from harness.results.record import CaseUsage, Record, Timing, UsageTotals
from harness.results.store import RunStore
from tests.unit.test_results import record, records, score


def metered(**totals: float) -> CaseUsage:
    return CaseUsage(metered=UsageTotals(**totals))  # type: ignore[arg-type]  # the names are checked by the struct


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def rows(lines: list[str]) -> list[list[str]]:
    return [cells(line) for line in lines if line.startswith("| ")]


@settings(max_examples=30)
@given(st.lists(records, max_size=6))
def test_the_table_stays_a_table_whatever_an_agent_or_server_said(kept: list[Record]) -> None:
    lines = markdown(kept)
    assert {len(row) for row in rows(lines)} == {8}
    assert len(rows(lines)) == 1 + len(kept)
    assert not any("\n" in line for line in lines)


@given(st.text())
def test_escaped_text_reads_the_same_and_has_no_markup(text: str) -> None:
    shown = escape(text)
    assert not re.search(r"(?<!\\)(\\\\)*[`*_\[\]<>|~]", shown)
    assert re.sub(r"\\(.)", r"\1", shown) == "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def test_a_row_has_all_measurements_and_a_dash_for_a_missing_one() -> None:
    ran = record(
        "a",
        score=score(0.5),
        outcome="failed",
        usage=metered(turns=12, input_tokens=9000, output_tokens=800, cache_read_tokens=200, cost_usd=0.25),
        timing=Timing(setup_s=1.0, agent_s=60.0, evaluation_s=0.5),
        explanation="a|b\nc",
    )
    lines = markdown([record("b"), ran])
    assert rows(lines)[1:] == [
        ["a", "failed", "0.50", "12", "10,000", "0.2500", "61.5", r"a\|b c"],
        ["b", "passed", "-", "-", "-", "-", "-", ""],
    ]


def test_the_totals_count_outcomes_and_the_cases_with_a_known_cost() -> None:
    lines = markdown(
        [
            record("a", usage=metered(turns=2, output_tokens=5, cost_usd=0.5), timing=Timing(agent_s=90.0)),
            record("b", usage=metered(turns=1, output_tokens=5), scripted=False),
            record("c", outcome="error", ending=Ending.MODEL_ERROR),
            record("d", outcome="skipped", ending=Ending.UNAVAILABLE, explanation="no key: set KEY"),
            record("e", outcome="skipped", ending=Ending.UNAVAILABLE, explanation="no key: set KEY"),
        ]
    )
    assert lines[0] == (
        "**2 passed, 1 error, 2 skipped** · 3 turns · 10 tokens · $ 0.5000 (known for 1 of 2 cases) · "
        "1.5 minutes in cases"
    )
    assert lines[2] == "2 of these cases played a script or a cassette. They measure the pipeline, not a model."
    assert lines[-1] == "- no key: set KEY: d, e"


def test_warnings_are_shown_with_the_case() -> None:
    (row,) = rows(markdown([record("a", warnings=["the server cut\nthe prompt to 4096 tokens"])]))[1:]
    assert row[-1] == "the server cut the prompt to 4096 tokens"


def test_the_command_prints_a_run_by_its_folder_its_link_or_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RunStore(tmp_path / "runs/1")
    store.begin(["a"])
    store.append(record("a"))
    for given_path in ("runs/1", "runs/latest", "runs/1/results.jsonl"):
        assert main(["report", str(tmp_path / given_path)]) == 0
        assert capsys.readouterr().out.splitlines()[1].split() == ["a", "passed", "-", "-", "-", "-"]
    assert main(["report", str(tmp_path / "runs/latest"), "--markdown"]) == 0
    assert capsys.readouterr().out == "\n".join(markdown([record("a")])) + "\n"


def test_many_cases_skipped_for_the_same_reason_are_one_line() -> None:
    skipped = [record(f"s{i}", outcome="skipped", explanation="no GPU") for i in range(4)]
    few = [record("t", outcome="skipped", explanation="no key")]
    lines = table([record("a"), *skipped, *few])
    assert [line.split()[0] for line in lines] == ["case", "a", "t", "4"]
    assert lines[-1] == "4 skipped: no GPU"


def test_a_missing_run_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["report", "runs/nonesuch", "--markdown"])
    assert exited.value.code == 2
    assert "runs/nonesuch: no such run: name a run's folder" in capsys.readouterr().err


def test_cases_are_counted_and_not_their_sessions_or_tries() -> None:
    kept = [
        record("a", session="a", outcome="failed"),
        record("a", session="a", try_number=2),
        record("b", session="b"),
        record("b", session="b.2", outcome="failed"),
    ]
    lines = markdown(kept)
    assert lines[0].startswith("**1 passed, 1 failed**")
    assert [row[0] for row in rows(lines)[1:]] == ["a", "b.2", "a (try 2)", "b"]
