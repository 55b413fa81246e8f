"""What a case says in the properties of its test, and in JUnit XML."""

from __future__ import annotations

import math
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.case import KnownFailure
from harness.endings import Ending
from harness.report.properties import properties, wilson
from harness.results.record import CaseUsage, Timing, UsageTotals
from tests.support.markdown import page, table
from tests.support.project import Project
from tests.unit.test_results import record, score

counts = st.integers(1, 500).flatmap(lambda episodes: st.tuples(st.integers(0, episodes), st.just(episodes)))


@given(counts)
def test_a_bound_lies_1_96_of_its_own_standard_errors_from_the_rate(count: tuple[int, int]) -> None:
    solved, episodes = count
    low, high = wilson(solved, episodes)
    assert 0 <= low <= solved / episodes <= high <= 1
    for bound in {low, high} - {0.0, 1.0}:
        distance = 1.959964 * math.sqrt(bound * (1 - bound) / episodes)
        assert abs(solved / episodes - bound) == pytest.approx(distance, abs=1e-6)


def test_an_interval_needs_episodes() -> None:
    with pytest.raises(ValueError, match="no episodes"):
        wilson(0, 0)


def test_what_was_not_measured_is_left_out_and_an_earlier_try_is_replaced() -> None:
    skipped = record(ending=Ending.CLI_MISSING)
    names = [
        ("case", "claude-scripted-small_maze"),
        ("backend", "claude"),
        ("model", "scripted"),
        ("environment", "small_maze"),
        ("replicate", 1),
    ]
    told = [*names, ("ending", "cli_missing"), ("cause", "agent")]
    assert properties(skipped, Path("/run/case")) == told
    usage = UsageTotals(turns=3, input_tokens=5, cache_read_tokens=7, cost_usd=0.25)
    graded = record(
        score=replace(score(0.5), solved=10),
        usage=CaseUsage(metered=usage),
        timing=Timing(agent_s=1.25, evaluation_s=0.5),
        artifacts="case",
    )
    shown = properties(graded, Path("/run/case"), [("mine", 1), ("turns", 99)])
    assert shown == [
        ("mine", 1),
        *names,
        ("solve_rate", 0.5),
        ("solve_rate_low", 0.2993),
        ("solve_rate_high", 0.7007),
        ("ending", "finished"),
        ("cause", "agent"),
        ("turns", 3),
        ("tokens", 12),
        ("cost_usd", 0.25),
        ("seconds", 1.75),
        ("folder", "/run/case"),
    ]
    assert properties(skipped, Path("/run/case"), shown) == [("mine", 1), *told]


def test_every_property_is_documented_in_its_order() -> None:
    everything = record(
        score=score(0.5),
        usage=CaseUsage(metered=UsageTotals(turns=1, input_tokens=1, cost_usd=0.5)),
        timing=Timing(total_s=1.0),
        known_failure=KnownFailure(case="*", reason="hard", until=date(2026, 12, 1)),
        artifacts="case",
    )
    cells = [row["property"] for row in table(page("docs/records.md"), "In pytest's own reports")]
    assert re.findall(r"`(\w+)`", " ".join(cells)) == [name for name, _ in properties(everything, Path("/run/case"))]


def test_junit_xml_shows_them(tmp_path: Path) -> None:
    project = Project(tmp_path)
    source = Path(__file__).parents[1] / "security/good_policy.py"
    project.write("good/approach.py", source.read_text())
    arguments = ("--submission", "good", "--environment", "small_maze", "--set=evaluation.episodes=2")
    done = project.pytest(*arguments, "--junitxml=junit.xml")
    assert done.returncode == 0, done.stdout + done.stderr
    [case] = ElementTree.parse(tmp_path / "junit.xml").iter("testcase")  # noqa: S314 - pytest has just written it
    shown = {found.attrib["name"]: found.attrib["value"] for found in case.iter("property")}
    assert list(shown) == [
        *("case", "backend", "model", "environment", "replicate"),
        *("solve_rate", "solve_rate_low", "solve_rate_high", "ending", "cause", "seconds", "folder"),
    ]
    assert [shown[name] for name in ("case", "backend", "environment", "replicate")] == [
        "submission-small_maze",
        "submission",
        "small_maze",
        "1",
    ]
    assert (shown["solve_rate"], shown["solve_rate_high"], shown["ending"]) == ("1.0", "1.0", "finished")
    assert shown["folder"] == str((project.folder / "runs/latest").resolve() / "submission-small_maze")
