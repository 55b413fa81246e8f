"""`proctor report`: the means over replicates and groups, their intervals, and what is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.commands.main import main
from harness.report.means import lines, markdown_lines, summarize_run
from harness.results.record import Record
from harness.verdict.rules import Rules
from harness.verdict.summaries import summarize_cases
from harness.verdict.trials import CaseKey, Measure
from tests.support.project import ROOT
from tests.support.runs import night, record, write_run
from tests.support.trials import suite, trials

PROGRAMS: dict[tuple[str, str], list[int | None]] = {
    ("claude", "door"): [20, 20],
    ("claude", "maze"): [20, 19, 20, 10, None],
    ("pi", "door"): [None, None],
    ("pi", "maze"): [None, None, None, 17],
}


def reported(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> str:
    assert main(["report", str(folder), *options]) == 0
    return capsys.readouterr().out


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "20261126T010000.000Z-nightly", night(PROGRAMS))


def row(out: str, name: str, title: str) -> list[str]:
    """Return the cells of a line in the table below this title."""
    below = out.partition(f"{title}:")[2].partition("\n\n")[0]
    [found] = [line for line in below.splitlines() if line.startswith(f"{name} ")]
    return re.split(r"\s{2,}", found)[1:]


def test_a_case_with_replicates_has_a_line_with_its_mean_and_a_named_interval(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, title = reported(capsys, run), "mean over the programs of a case"
    assert row(out, "claude-qwen-door", title) == [
        "2", "0", "1.00", "1.00", "1.00", "1.00", "none: all programs solved as much",
    ]  # fmt: skip
    assert row(out, "claude-qwen-maze", title)[:-1] == ["4", "1 of 5", "0.86", "0.50", "0.83", "0.17"]
    assert row(out, "claude-qwen-maze", title)[-1] == (
        "0.48 to 1.00, t over programs; missing: model_error 1; with them the mean is from 0.69 to 0.89"
    )


def test_too_much_missing_is_inconclusive_and_never_0(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, title = reported(capsys, run), "mean over the programs of a case"
    assert row(out, "pi-qwen-door", title)[:3] == ["0", "2 of 2", "-"]
    assert row(out, "pi-qwen-door", title)[-1] == (
        "inconclusive, missing: model_error 2; with them the mean is from 0.00 to 1.00"
    )
    assert row(out, "pi-qwen-maze", title)[-1].startswith("0.64 to 0.95, Wilson within one program; inconclusive")
    assert row(out, "pi-qwen-maze", "95% bootstrap interval") == ["0.0100", "9.0", "990", "30.0"]
    assert "pi-qwen-door" not in out.partition("bootstrap interval:")[2], (
        "its broken sessions' usage is not the agent's"
    )


def test_groups_have_clustered_errors_and_bounds(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, title = reported(capsys, run), "clustered by environment"
    assert row(out, "all cases", title)[:3] == ["3 of 4", "46%", "0.90 ±0.06"]
    assert row(out, "backend claude", title)[:3] == ["2", "14%", "0.93 ±0.07"]
    assert row(out, "backend pi", title) == [
        "1 of 2",
        "83%",
        "0.85",
        "0.0100",
        "9.0",
        "990",
        "30.0",
        "solve rate 0.11 to 0.98",
    ]
    assert row(out, "environment door", title)[:3] == ["1 of 2", "50%", "1.00"]
    assert "model qwen" not in out, "the only model is the whole run"


@pytest.mark.parametrize(
    ("records", "titles"),
    [
        (night({("claude", "maze"): [20]}), []),
        (night({("claude", "maze"): [20], ("pi", "maze"): [20]}), ["Groups"]),
        (night({("claude", "maze"): [20, 3]}), ["Replicates", "Replicates"]),
        ([record("claude", "maze", n, solved=None, outcome="skipped", ending="unavailable") for n in (1, 2)], []),
    ],
    ids=["one", "two cases", "two replicates", "skipped"],
)
def test_a_small_run_gets_no_more_lines_than_it_needs(
    tmp_path: Path, records: list[Record], titles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = reported(capsys, write_run(tmp_path / "run", records))
    assert re.findall(r"^(Replicates|Groups): ", out, re.MULTILINE) == titles


def test_replicates_under_different_conditions_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = night({("claude", "maze"): [20, 12]})
    changed = record("claude", "maze", 2, solved=12, max_steps=7, seeds_digest="others")
    out = reported(capsys, write_run(tmp_path / "run", [first, changed]))
    assert out.splitlines()[-1] == "note: the replicates of claude-qwen-maze differ in max_steps, seeds_digest"
    assert "note:" not in reported(capsys, write_run(tmp_path / "other", [first, second]))


def test_json_has_everything(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: dict[str, Any] = json.loads(reported(capsys, run, "--json"))
    assert told["run"] == str(run)
    assert told["most_missing"] == 0.5
    assert len(told["records"]) == 13
    assert [case["inconclusive"] for case in told["cases"]] == [False, False, True, True]
    maze = told["cases"][1]
    assert maze["key"] == {"backend": "claude", "model": "qwen", "environment": "maze"}
    assert maze["measures"]["solve_rate"]["t"]["high"] > 1, "as it was computed"
    assert maze["pass_hat"] == pytest.approx([0.5, 1 / 6, 0, 0])
    assert {group["level"] for group in told["groups"]} == {"suite", "backend", "model", "environment"}


def test_markdown_has_the_same_tables(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = reported(capsys, run, "--markdown")
    assert out.count("\n### Replicates: ") == 2
    assert "| backend claude | 2 | 14% | 0.93 ±0.07 |" in out
    assert "| pi-qwen-door | 0 | 2 of 2 | - | - | - | - | inconclusive, missing: model\\_error 2; with" in out


RATES = st.lists(st.none() | st.integers(0, 20).map(lambda solved: solved / 20), min_size=1, max_size=4)
CASES = st.dictionaries(st.builds(CaseKey, *[st.sampled_from(["a", "b|c"])] * 3), RATES, max_size=5)


@settings(max_examples=60)
@given(rates=CASES)
def test_the_mean_lies_between_the_bounds_and_every_table_is_a_table(
    rates: Mapping[CaseKey, Sequence[float | None]],
) -> None:
    run = suite(rates, run="one")
    for case in summarize_cases(run):
        assert (case.bounds is None) == (case.missing_share == 0)
        if case.bounds and Measure.SOLVE_RATE in case.measures:
            low, high = case.bounds
            assert low - 1e-9 <= case.measures[Measure.SOLVE_RATE].mean <= high + 1e-9
    summary = summarize_run(Path("run"), [], run, None, Rules())
    assert not any("\n" in line for line in lines(summary))
    tables = "\n".join(markdown_lines(summary)).split("### ")[1:]
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines() if line.startswith("|")}
        assert len(widths) == 1


def test_an_added_replicate_counts_in_its_case_only() -> None:
    run = [*trials([1.0, 1.0]), *trials([0.4], added=True)]
    summary = summarize_run(Path("run"), [], run, None, Rules())
    assert summary.cases[0].measures[Measure.SOLVE_RATE].mean == pytest.approx(0.8)
    assert summary.groups[0].measures[Measure.SOLVE_RATE].mean == 1.0


def test_bounds_fill_what_is_missing_with_nothing_and_with_everything() -> None:
    [case] = summarize_cases(trials([0.8, None, 1.0, None]))
    assert case.bounds == pytest.approx((0.45, 0.95))
    assert not case.inconclusive, "half is not more than half"
    [strict] = summarize_cases(trials([0.8, None, 1.0]), Rules(missing=0.3))
    assert strict.inconclusive


def test_a_run_of_one_session_needs_no_scipy(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", night({("claude", "maze"): [20]}))
    program = "import sys; from harness.commands.main import main; main(sys.argv[1:]); print('scipy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, "report", str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("False\n")
