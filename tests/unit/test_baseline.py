"""`pytest --baseline REF`: a session that became worse fails, and says what, where and by which test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from xml.etree import ElementTree

import msgspec
import pytest

from harness.commands.main import main
from harness.report.verdicts import Compared
from harness.stash import baseline_of
from harness.verdict.trials import Measure
from tests.support.own_project import BACKEND, FILES, SCRIPT, OwnProject
from tests.support.project import Project
from tests.unit.test_given_submission import GOOD, WRONG
from tests.unit.test_reporters import REPLACED

TESTS = """\
import os
import pathlib
import pytest

@pytest.fixture
def submission(case):
    if os.environ.get("STOP") == case.backend.name:
        raise KeyboardInterrupt
    return pathlib.Path("wrong" if os.environ.get("BROKEN") == case.backend.name else "good")

def test_case(case, score):
    assert score.solve_rate >= case.environment.pass_solve_rate
"""

CASES = (
    "--environment",
    "small_maze",
    "--set=evaluation.episodes=10",
    "--set=environment.small_maze.pass_solve_rate=0",
)
CLAUDE, OPENCODE = "claude-scripted-small_maze", "opencode-scripted-small_maze"


class Night(NamedTuple):
    """A session against the first one, and its folder."""

    status: int
    said: str
    run: Path


class Nights:
    """A project with a first night, in which both backends solve everything."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder)
        for name, text in (("good", GOOD.read_text()), ("wrong", WRONG)):
            self.project.write(f"{name}/approach.py", text)
        self.project.write("test_cases.py", TESTS)
        self.project.write("replaced.py", REPLACED)
        first = self.project.pytest(*CASES)
        assert first.returncode == 0, first.stdout + first.stderr
        self.first = (folder / "runs/latest").resolve()

    def __call__(self, *arguments: str, **variables: str) -> Night:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            done = self.project.pytest(*CASES, f"--baseline=runs/{self.first.name}", *arguments)
        return Night(done.returncode, done.stdout + done.stderr, (self.project.folder / "runs/latest").resolve())


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(tmp_path_factory.mktemp("nights"))


@pytest.fixture(scope="module")
def broken(nights: Nights) -> Night:
    """A night in which one backend hands in a wrong program, on a terminal that only knows ASCII."""
    return nights("--junitxml=junit.xml", BROKEN="opencode", PYTHONIOENCODING="ascii")


def sections(said: str) -> dict[str, str]:
    """Return the sections of pytest's summary, by title."""
    found: dict[str, list[str]] = {"": []}
    for line in said.splitlines():
        title = line.strip("= ")
        if line.startswith("===") and title:
            found[title] = []
        found[list(found)[-1]].append(line)
    return {title: "\n".join(lines) for title, lines in found.items()}


def test_a_broken_backend_fails_the_session_although_every_case_passed(broken: Night) -> None:
    assert broken.status == 1, broken.said
    assert "2 passed" in broken.said
    shown = sections(broken.said)
    assert list(shown)[-4:-1] == ["cases", "verdict", "regressions"]
    assert "cases by solve rate: 1 worse, 1 inconclusive" in shown["verdict"]
    assert f"case {OPENCODE}: solve rate 1.00 -> 0." in shown["regressions"]
    assert f"case {CLAUDE}" not in shown["regressions"]
    assert "exact paired test over episodes: p = " in shown["regressions"]
    assert re.search(r"episodes lost: \d+, \d+", shown["regressions"])
    assert f"now: runs/{broken.run.name}/{OPENCODE}" in shown["regressions"]
    assert "something is worse than the baseline (exit status 1)" in shown["regressions"]


def test_junit_xml_has_the_verdicts(broken: Night, nights: Nights) -> None:
    root = ElementTree.parse(nights.project.folder / "junit.xml")  # noqa: S314 - pytest has just written it

    def shown(place: ElementTree.Element) -> Mapping[str, str]:
        return {one.attrib["name"]: one.attrib["value"] for one in place.iterfind("properties/property")}

    tests = {test.attrib["name"]: shown(test) for test in root.iter("testcase")}
    assert {name: found["verdict"] for name, found in tests.items()} == {
        f"test_case[{CLAUDE}]": "inconclusive",
        f"test_case[{OPENCODE}]": "worse",
    }
    worse = tests[f"test_case[{OPENCODE}]"]
    assert (worse["baseline_solve_rate"], worse["case_solve_rate"]) == ("1.0", worse["solve_rate"])
    assert worse["verdict_reason"].startswith("exact paired test over episodes")
    [suite] = root.iter("testsuite")
    assert shown(suite)["regression"].startswith(f"case {OPENCODE}: solve rate 1.00 → ")


def test_the_report_of_the_run_shows_the_verdict_too(broken: Night, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(broken.run), "--markdown"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("**worse: 1 case, 4 groups**\n")
    assert told.index("### Regressions") < told.index("**2 passed**")
    assert main(["report", str(broken.run)]) == 0
    assert capsys.readouterr().out.endswith("cases by solve rate: 1 worse, 1 inconclusive\n")


def test_a_report_names_a_verdict_that_it_cannot_read(
    broken: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(broken.run, tmp_path / "run")
    (run / "verdict.json").write_text('{"base": 1}')
    with pytest.raises(SystemExit):
        main(["report", str(run)])
    assert "verdict.json: not a comparison of this version of Proctor: " in capsys.readouterr().err


def test_cases_that_were_not_selected_are_not_gone(nights: Nights) -> None:
    """With a worker, quietly, and with another reporter."""
    night = nights("-k", "claude", "-n", "1", "-q", "-p", "replaced")
    assert night.status == 0, night.said
    assert "cases by solve rate: 1 inconclusive" in night.said
    assert "opencode" not in night.said.partition(" verdict ")[2]
    assert night.said.count("nothing is worse than the baseline\n") == 1
    assert "regressions" not in night.said


def test_what_a_stopped_session_has_done_is_compared(nights: Nights) -> None:
    night = nights(BROKEN="claude", STOP="opencode")
    assert night.status == 2, night.said
    shown = sections(night.said)
    assert f"case {CLAUDE}: solve rate 1.00 → 0." in shown["regressions"]
    assert "1 of 1 replicates of the new run are missing (interrupted 1)" in shown["verdict"]
    assert "the session was stopped, so only the cases that have a record were compared" in shown["regressions"]


def test_a_wrong_reference_ends_the_session_before_it_begins(nights: Nights) -> None:
    done = nights.project.pytest("--baseline=nowhere")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --baseline nowhere: no such run: name a run's folder, " in done.stderr


def test_collecting_compares_nothing(nights: Nights) -> None:
    before = (nights.project.folder / "runs/latest").resolve()
    collected = nights("--collect-only", "-q")
    assert collected.status == 0
    assert "verdict" not in collected.said
    assert collected.run == before


@pytest.mark.parametrize(("option", "value"), [("--fail-on", "worse"), ("--allow-drift", ["cli"])])
def test_an_option_of_the_comparison_needs_a_baseline(option: str, value: object) -> None:
    given = {f"proctor_{option[2:].replace('-', '_')}": value}
    config: Any = SimpleNamespace(stash=pytest.Stash(), getoption=given.get)
    with pytest.raises(pytest.UsageError, match=f"^{option} needs --baseline REF: there is nothing to compare with"):
        baseline_of(config)


REGRESSED = BACKEND.replace(
    """    name = "lean"
""",
    """    name = "lean"

    def environment(self, spec):
        return super().environment(spec) | {"HASTY": "1"}
""",
)
"""The adapter after a change: its CLI passes a variable on to what it runs."""

HASTY = SCRIPT.replace(
    "  - text: Done.",
    """\
  - text: If I am in a hurry, I walk where I should open.
    calls: [{run: 'test -z "$HASTY" || sed -i s/open/walk/ approach.py'}]
  - text: Done.""",
)
"""A script whose policy is broken if the CLI passes on that variable. The script itself, a condition, stays."""


@pytest.mark.nightly
def test_with_no_condition_changed_a_broken_backend_is_worse_and_only_that(tmp_path: Path) -> None:
    """Real CLIs: only the code of one backend's adapter changes, which no condition mentions."""
    project = OwnProject(tmp_path)
    suite = "name: mine\nbackends: [lean, claude]\nmodels: [scripted]\nenvironments: [door]\n"
    changed = {"conf/suite/mine.yaml": suite, "conf/scripts/opener.yaml": HASTY, "conf/config.yaml": ""}
    for name, text in (FILES | changed).items():
        project.write(name, text)
    before = project.pytest("--suite", "mine", "-n", "2")
    assert before.returncode == 0, before.stdout + before.stderr
    same = project.pytest("--suite", "mine", "-n", "2", "--baseline", "last")
    assert same.returncode == 0, same.stdout + same.stderr
    project.write("mylab/backends.py", REGRESSED)
    after = project.pytest("--suite", "mine", "--baseline", "last:7")
    assert after.returncode == 1, after.stdout + after.stderr
    told = (tmp_path / "runs/latest/verdict.json").read_bytes()
    rates = [one for one in msgspec.json.decode(told, type=Compared).comparisons if one.measure is Measure.SOLVE_RATE]
    verdicts = {one.name: str(one.verdict) for one in rates if one.level in {"case", "backend"}}
    assert verdicts == {
        "lean": "worse",
        "lean-scripted-door": "worse",
        "claude": "inconclusive",
        "claude-scripted-door": "inconclusive",
    }
    assert [one.differing or one.drift for one in rates if one.differing or one.drift] == []
