"""`pytest --until-decided` in real sessions: with and without workers, stopped, and with tests of the user's own."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from harness.baseline import compare_runs, read_baseline
from harness.results.record import PlannedReplicates
from harness.results.store import unrecorded
from harness.verdict.reading import read_trials
from harness.verdict.rules import Rules
from tests.support.decided import BASE, DecidedProject

MOST = "--max-replicates=4"
DOOR = "claude-far-door"
EVERY = [DOOR, f"{DOOR}-r2", f"{DOOR}-r3", "claude-far-gate"]
SAID = (
    f"look 1: 1 case gets one more replicate: {DOOR}; decided: 0; undecided and not worth one: 1\n"
    f"look 2: 1 case gets one more replicate: {DOOR}; decided: 0; undecided and not worth one: 1\n"
    "look 3: no case gets one more replicate; decided: 1; undecided and not worth one: 1\n"
    "2 replicates added in 3 looks\n"
    f"  {DOOR}: 2 added, worse\n"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> DecidedProject:
    made = DecidedProject(tmp_path_factory.mktemp("decided"))
    made.make_baseline()
    return made


@pytest.fixture(autouse=True)
def _bad_door(project: DecidedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAD", "door")
    (project.folder / "houses.txt").unlink(missing_ok=True)
    (project.folder / "killed.txt").unlink(missing_ok=True)


def said(output: str) -> str:
    """Return the lines about looks and added replicates."""
    return "".join(re.findall(r"^(?:look \d|\d replicates? added|  \S+: \d added).*\n", output, re.MULTILINE))


def houses(project: DecidedProject) -> int:
    """Return how many processes set up the session-scoped fixture. Each tears it down once."""
    return len((project.folder / "houses.txt").read_text().splitlines())


def test_replicates_are_added_until_the_case_is_decided(project: DecidedProject) -> None:
    output = project.until_decided(MOST, "--junit-xml=junit.xml")
    assert said(output) == SAID
    assert "collected 2 items" in output
    assert "4 passed" in output
    assert "skipped" not in output
    assert f"case {DOOR}: solve rate 1.00 → 0.00 (programs: 14 before, 3 now)" in output
    assert houses(project) == 1
    assert sorted(project.records) == EVERY
    assert {one.replicates for one in project.records.values()} == {PlannedReplicates(planned=1, most=4)}
    root = ElementTree.parse(project.folder / "junit.xml")  # noqa: S314 - the session has written it
    assert [test.get("name") for test in root.iter("testcase")] == [
        f"test_case[{case}]" for case in (DOOR, "claude-far-gate", f"{DOOR}-r2", f"{DOOR}-r3")
    ]
    run = (project.folder / "runs/latest").resolve()
    assert unrecorded(run, project.records.values()) == []

    baseline = read_baseline(str(project.folder / BASE), run.parent, besides=run, rules=Rules())
    compared = compare_runs(baseline, read_trials(run))
    [later] = [one for one in compared.comparisons if (one.name, str(one.measure)) == (DOOR, "solve_rate")]
    assert f"  {later.reason}\n" in output


def test_workers_run_what_is_added(project: DecidedProject) -> None:
    output = project.until_decided(MOST, "-n", "2")
    assert said(output) == SAID
    assert "2 workers [2 items]" in output
    assert "4 passed" in output
    assert houses(project) == 2
    assert sorted(project.records) == EVERY


@pytest.mark.nightly
def test_an_added_replicate_that_kills_its_worker_runs_once_more(
    project: DecidedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILLER", f"{DOOR}-r3")
    output = project.until_decided(MOST, "-n", "2")
    assert said(output) == SAID
    assert f"test_case[{DOOR}-r3] killed its worker" in output
    assert "4 passed, 1 rerun" in output
    assert sorted(project.records) == EVERY


@pytest.mark.nightly
@pytest.mark.parametrize("workers", ["0", "2"])
class TestMore:
    def test_a_failure_in_an_added_replicate_stops_a_session_with_exitfirst(
        self, project: DecidedProject, workers: str
    ) -> None:
        project.write("test_mine.py", "def test_case(case, score):\n    assert case.replicate != 2\n")
        output = project.until_decided(MOST, "-n", workers, "-x")
        assert "stopping after 1 failures" in output
        assert f"  {DOOR}: 1 added, inconclusive: the session was stopped\n" in output
        assert sorted(project.records) == [DOOR, f"{DOOR}-r2", "claude-far-gate"]

    def test_several_tests_of_a_case_and_others_run_as_they_do_for_planned_replicates(
        self, project: DecidedProject, workers: str
    ) -> None:
        project.write(
            "test_mine.py",
            "import pytest\n"
            "class TestCases:\n"
            "    @pytest.mark.parametrize('mode', ['a', 'b'])\n"
            "    def test_score(self, case, mode, score):\n"
            "        pass\n"
            "    @pytest.mark.xfail(reason='known', strict=True)\n"
            "    def test_solved(self, case, score):\n"
            "        assert score.solve_rate == 2\n"
            "def test_names(case):\n"
            "    assert case.id\n"
            "def test_plain():\n"
            "    pass\n",
        )
        output = project.until_decided("--max-replicates=8", "-n", workers, "-v", "test_mine.py")
        added = set(re.findall(rf"test_mine\.py::(\S+\[\S*{DOOR}-r2\S*\]) ", output))
        assert added == {
            f"TestCases::test_score[{DOOR}-r2-a]",
            f"TestCases::test_score[{DOOR}-r2-b]",
            f"TestCases::test_solved[{DOOR}-r2]",
        }
        assert not re.search(r"\d failed", output)
        assert "error" not in output.partition("= cases =")[0].lower()

    def test_an_added_replicate_of_a_known_failure_must_fail_too(
        self, project: DecidedProject, workers: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GOOD", f"{DOOR}-r2")
        known = project.folder / "conf/known_failures.yaml"
        known.write_text(f"- case: {DOOR}\n  reason: the door sticks\n  until: 2999-12-31\n")
        project.write("test_mine.py", "def test_case(case, score):\n    assert score.solve_rate == 1\n")
        output = project.until_decided(MOST, "-n", workers)
        known.unlink()
        assert f"[XPASS(strict)] {DOOR}-r2 passes, but it is a known failure" in output
        assert re.search(r"1 failed, 1 passed, [1-3] xfailed", output)

    def test_the_end_of_the_session_reports_a_fixture_that_cannot_be_torn_down(
        self, project: DecidedProject, workers: str
    ) -> None:
        project.write("test_mine.py", BROKEN_TEARDOWN)
        output = project.until_decided(MOST, "-n", workers)
        assert "ERROR at teardown of test session" in output
        assert "ValueError: the house does not close" in output
        assert "4 passed, 1 error" in output or "4 passed, 2 errors" in output


BROKEN_TEARDOWN = """\
import pytest

@pytest.fixture(scope="session", autouse=True)
def broken():
    yield
    raise ValueError("the house does not close")

def test_case(case, score):
    pass
"""
