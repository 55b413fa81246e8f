"""What a session with a baseline compares, how it ends, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from _pytest.junitxml import xml_key

from harness.baseline import read_baseline
from harness.case import SUBMISSION
from harness.results.record import Record
from harness.results.runs import RunError
from harness.run import Run
from harness.session_verdict import SessionVerdict
from harness.verdict.comparison import Verdict
from harness.verdict.rules import Rules
from harness.verdict.trials import Measure
from tests.support.runs import night, write_run

Programs = Mapping[tuple[str, str], Sequence[int | None]]

GOOD, BAD = (20, 19, 20, 18, 20, 20), (3, 0, 5, 2, 0, 1)
SUITE: Programs = {("claude", "door"): GOOD, ("codex", "door"): GOOD, ("pi", "door"): GOOD}
BROKEN = {**SUITE, ("codex", "door"): BAD}


class Ended:
    """A session against two nights without a change, after its end."""

    def __init__(
        self,
        found: Programs,
        *,
        suite: Programs = SUITE,
        base: Programs = SUITE,
        submission: str | None = None,
        fails: bool = True,
        status: int = 0,
        failed: int = 0,
        xml: Path | None = None,
    ) -> None:
        for day in (24, 25):
            write_run(Path(f"runs/202611{day}T010000.000Z-nightly"), night(base))
        folder = Path("runs/20261126T010000.000Z-nightly").absolute()
        self.records: list[Record] = night(found)
        if found:
            write_run(folder, self.records)
        cases = [
            SimpleNamespace(backend=Named(backend), model=Named("qwen"), environment=Named(environment))
            for backend, environment in suite
        ]
        run = SimpleNamespace(folder=folder, all_of_suite=cases, given=SimpleNamespace(submission=submission))
        baseline = read_baseline("last:7", folder.parent, besides=folder.resolve(), rules=Rules())
        self.verdict = SessionVerdict(baseline, cast(Run, run), lambda: self.records, fails=fails)
        stash = pytest.Stash()
        if xml is not None:
            stash[xml_key] = cast(Any, SimpleNamespace(logfile=str(xml)))
        session: Any = SimpleNamespace(exitstatus=status, testsfailed=failed, config=SimpleNamespace(stash=stash))
        self.verdict.pytest_sessionfinish(session)
        self.status = int(session.exitstatus)

    @property
    def said(self) -> str:
        """All sections, one after the other."""
        closings = [self.verdict.verdict(), self.verdict.regressions()]
        return "\n".join(line for one in closings for line in [*one.lines, *filter(None, [one.warning])])

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts on the solve rates of cases."""
        compared = self.verdict.compared
        assert compared is not None
        rates = [one for one in compared.comparisons if one.measure is Measure.SOLVE_RATE and one.level == "case"]
        return {one.name.removesuffix("-qwen-door"): one.verdict for one in rates}


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_nothing_worse_ends_well() -> None:
    ended = Ended(SUITE)
    assert ended.status == 0
    assert ended.said.endswith("\nnothing is worse than the baseline")
    assert ended.verdict.verdict().warning is None


def test_something_worse_ends_with_1_and_fail_on_nothing_does_not() -> None:
    assert Ended(BROKEN).status == 1


def test_fail_on_nothing_tells_and_ends_well() -> None:
    ended = Ended(BROKEN, fails=False)
    assert ended.status == 0
    assert ended.said.endswith("something is worse than the baseline (--fail-on=nothing ignores that)")


def test_the_exit_status_of_a_stopped_session_stays_and_the_conclusion_says_why() -> None:
    ended = Ended({("codex", "door"): BAD}, status=2)
    assert ended.status == 2
    assert ended.verdicts == {"codex": Verdict.WORSE}, "the others had no record"
    assert ended.said.endswith("; the session was stopped, so only the cases that have a record were compared")


def test_failed_cases_are_told_apart_from_the_verdict() -> None:
    ended = Ended(SUITE, status=1, failed=2)
    assert ended.status == 1
    assert ended.verdict.verdict().warning == (
        "nothing is worse than the baseline; 2 tests failed or had an error (this does not depend on the baseline)"
    )


def test_only_a_case_that_the_suite_no_longer_has_is_gone() -> None:
    found = {("claude", "door"): GOOD}
    assert Ended(found, suite={**found, ("pi", "door"): GOOD}).verdicts == {
        "claude": Verdict.SAME,
        "codex": Verdict.GONE,
    }


def test_cases_without_an_agent_are_compared_only_with_such_cases() -> None:
    alone: Programs = {(SUBMISSION, "door"): GOOD}
    base = {**SUITE, **alone}
    assert set(Ended(alone, suite=alone, base=base, submission="good").verdicts) == {f"{SUBMISSION}-door"}


def test_two_programs_without_an_agent_are_compared_episode_by_episode() -> None:
    [good, bad] = ({(SUBMISSION, "door"): (solved,)} for solved in (20, 4))
    ended = Ended(bad, suite=good, base=good, submission="bad")
    assert ended.verdicts == {f"{SUBMISSION}-door": Verdict.WORSE}
    assert "exact paired test over episodes" in ended.said


def test_a_session_with_agents_leaves_cases_without_one_out() -> None:
    base: Programs = {**SUITE, (SUBMISSION, "door"): GOOD}
    assert set(Ended(SUITE, base=base).verdicts) == {"claude", "codex", "pi"}


def test_nothing_to_compare_is_never_green() -> None:
    ended = Ended({("new", "door"): GOOD}, suite={("new", "door"): GOOD}, base={("claude", "door"): GOOD})
    assert ended.status == 1
    assert ended.said.endswith("nothing was compared with the baseline (exit status 1)")


def test_a_session_without_records_says_so() -> None:
    ended = Ended({})
    assert ended.status == 1
    assert ended.said == "nothing was compared with the baseline: no case has a record (exit status 1)"


def test_junit_xml_has_the_mean_and_the_interval_over_replicates() -> None:
    xml = Path("junit.xml")
    tests = "".join(
        f'<testcase name="r{number}"><properties><property name="folder" value="/a/codex-qwen-door-r{number}"/>'
        "</properties></testcase>"
        for number in (1, 2)
    )
    xml.write_text(f"<testsuites><testsuite>{tests}<testcase name='unit'/></testsuite></testsuites>")
    Ended(BROKEN, xml=xml)
    root = ElementTree.parse(xml)  # noqa: S314 - this test has written it
    first, second, unit = (
        {one.attrib["name"]: one.attrib["value"] for one in test.iter("property")} for test in root.iter("testcase")
    )
    assert unit == {}
    assert first | {"folder": ""} == second | {"folder": ""}
    assert first["verdict"] == "worse"
    assert float(first["case_solve_rate"]) == pytest.approx(11 / 120)
    assert float(first["baseline_solve_rate"]) == pytest.approx(117 / 120)
    assert 0 <= float(first["case_solve_rate_low"]) < 11 / 120 < float(first["case_solve_rate_high"]) <= 1
    assert (first["case_turns"], first["case_cost_usd"]) == ("9.0", "0.01")
    assert (first["verdict_turns"], first["verdict_cost_usd"]) == ("same", "same")


def test_a_damaged_junit_xml_is_named_and_does_not_hide_the_verdict() -> None:
    Path("junit.xml").write_text("<testsuites")
    ended = Ended(BROKEN, xml=Path("junit.xml"))
    assert ended.status == 1
    assert "case codex-qwen-door: solve rate 0.98 → 0.09" in ended.said
    assert "something is worse than the baseline (exit status 1); the verdicts cannot be written: " in ended.said
    assert ended.said.endswith("junit.xml: unclosed token: line 1, column 0")


def test_a_run_is_not_its_own_baseline() -> None:
    folder = write_run(Path("runs/20261126T010000.000Z-nightly"), night(SUITE))
    with pytest.raises(RunError, match="the same run"):
        read_baseline(str(folder), folder.parent, besides=folder.resolve(), rules=Rules())
