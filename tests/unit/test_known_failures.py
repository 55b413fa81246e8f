"""Known failures are strict: they hide a failure, and neither an error nor a case that passes."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.case import KnownFailure
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.options import CommandLine
from harness.report.summary import markdown
from harness.report.table import table
from harness.run import Run
from harness.suite.choice import Choice
from harness.suite.known_failures import read_known
from tests.support.project import Project
from tests.unit.test_results import record

DAY = date(2026, 11, 26)
GOOD = {"case": "claude-*", "reason": "It stops early", "until": "2026-11-26"}
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0xFFFF, exclude_categories=["C"]), min_size=1)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "claude-*", "2026-11-26", "2026-99-26"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "issue", "x"]), inner),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> ConfPath:
    root = tmp_path_factory.mktemp("project")
    (root / "conf").mkdir()
    return ConfPath.of(root)


def read(conf: ConfPath, text: str) -> list[KnownFailure]:
    (conf.own / "known_failures.yaml").write_text(text)
    return read_known(conf, DAY)


@given(
    entries=st.lists(
        st.fixed_dictionaries(
            {"case": WORDS, "reason": WORDS, "until": st.dates(min_value=DAY).map(str)},
            optional={"issue": WORDS | st.integers() | st.none()},
        ),
        unique_by=lambda entry: entry["case"],
        max_size=4,
    )
)
def test_every_entry_is_read_as_it_is_written(conf: ConfPath, entries: list[dict[str, str]]) -> None:
    found = read(conf, json.dumps(entries))
    assert [(one.case, one.reason, str(one.until)) for one in found] == [
        (entry["case"], entry["reason"], entry["until"]) for entry in entries
    ]
    assert [one.issue for one in found] == [entry.get("issue") for entry in entries]


@given(document=ANYTHING)
def test_anything_else_is_a_clear_error(conf: ConfPath, document: object) -> None:
    try:
        found = read(conf, json.dumps(document))
    except ConfError as error:
        assert str(error).startswith("conf/known_failures.yaml: ")  # noqa: PT017  # most documents raise, not all
    else:
        assert all(one.until >= DAY for one in found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"until": "2026-11-25"}, "entry 2 (pi-*): expired on 2026-11-25: It stops early (12); if the case passes now"),
        ({"until": "2026-11-31"}, "entry 2 (pi-*): until is not a date; an entry has case, reason, until"),
        ({"reason": None}, "entry 2 (pi-*): reason: Expected `text`, got `null`"),
        ({"reason": ""}, "entry 2 (pi-*): reason is empty"),
        ({"test": "a"}, "entry 2 (pi-*): unknown key test"),
        ({"case": "claude-*"}, "entry 2 (claude-*): entry 1 has the same case: remove one of them"),
    ],
)
def test_a_mistake_names_the_entry_and_what_to_do(conf: ConfPath, changes: dict[str, object], said: str) -> None:
    entries = [GOOD, GOOD | {"case": "pi-*", "issue": 12} | changes]
    with pytest.raises(ConfError) as raised:
        read(conf, json.dumps(entries))
    assert str(raised.value).startswith(f"conf/known_failures.yaml: {said}")


def test_a_missing_key_and_a_star_without_quotes_are_named(conf: ConfPath) -> None:
    with pytest.raises(ConfError, match=r"entry 1 \(pi-\*\): reason is missing"):
        read(conf, "- {case: pi-*, until: 2026-12-01}\n")
    with pytest.raises(ConfError, match="put a pattern that begins with \\* in quotes"):
        read(conf, "- {case: *-maze, reason: r, until: 2026-12-01}\n")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[]\n"])
def test_a_file_without_entries_is_fine(conf: ConfPath, text: str) -> None:
    assert read(conf, text) == []


def run_of(conf: ConfPath, *settings: str, suite: str = "pr") -> Run:
    return Run(conf.root, conf.root / "run", CommandLine(suite=suite, settings=settings), Choice(backend=("pi",)))


@pytest.mark.parametrize(
    ("pattern", "marked"),
    [
        ("pi-scripted-small_maze", {"pi-scripted-small_maze-r1", "pi-scripted-small_maze-r2"}),
        ("pi-*-small_maze-r2", {"pi-scripted-small_maze-r2", "pi-stand_in_replayed-small_maze-r2"}),
        ("claude-*-small_maze", set()),  # not chosen
        ("*-qwen3_coder_30b-*", set()),  # of another suite
        ("submission-large_maze-r1", set()),  # of another suite, by --submission
    ],
)
def test_an_entry_may_concern_any_case_of_any_suite(conf: ConfPath, pattern: str, marked: set[str]) -> None:
    read(conf, json.dumps([GOOD | {"case": pattern, "until": "2999-12-31"}]))
    cases = run_of(conf, "suite.replicates=2").cases
    assert {case.id for case in cases if case.known_failure is not None} == marked


def test_an_entry_that_matches_no_case_of_any_suite_is_a_mistake(conf: ConfPath) -> None:
    other = conf.own / "suite/other.yaml"
    other.parent.mkdir()
    other.write_text("{name: other, backends: [nonesuch], models: [scripted], environments: [small_maze]}\n")
    read(conf, json.dumps([GOOD | {"until": "2999-12-31"}, GOOD | {"case": "pi-maze", "until": "2999-12-31"}]))
    with pytest.raises(ConfError) as raised:
        _ = run_of(conf).cases
    other.unlink()
    said = str(raised.value)
    assert said.startswith("conf/known_failures.yaml: entry 2 (pi-maze): matches no case of the suites pr, agents, ")
    assert "correct the pattern, or remove the entry; suite other cannot be read: conf/suite/other.yaml: " in said


def test_the_table_and_the_markdown_tell_a_known_failure() -> None:
    known = KnownFailure(case="claude-*", reason="It stops early", issue=12, until=DAY)
    kept = [
        record("a", outcome="failed", known_failure=known),
        record("b", outcome="failed"),
        record("c", known_failure=known),
    ]
    lines = table(kept)
    assert lines[1].split()[:3] == ["a", "failed", "(known)"]
    assert lines[1].endswith("; known failure: It stops early (12)")
    assert lines[2].split()[:3] == ["b", "failed", "-"]
    assert lines[3].endswith("passes, but is a known failure: It stops early (12)")
    assert markdown(kept)[0].startswith("**1 passed, 2 failed (1 known)**")


SMALL = "kind: maze, arguments: {min_size: 3, max_size: 3}"
CONF = {
    "bad/approach.py": "class GeneratedApproach:\n    def __init__(self, *_, **__):\n        1 / 0\n",
    "broken.py": "class Broken:\n    def __init__(self, max_steps):\n        raise RuntimeError\n",
    "conf/environment/easy.yaml": f"{{name: easy, pass_solve_rate: 0.0, {SMALL}}}\n",
    "conf/environment/hard.yaml": f"{{name: hard, {SMALL}}}\n",
    "conf/environment/other.yaml": f"{{name: other, {SMALL}}}\n",
    "conf/environment/broken.yaml": "{name: broken, kind: 'broken:Broken'}\n",
    "conf/suite/mine.yaml": (
        "{name: mine, backends: [claude], models: [scripted], environments: [easy, hard, other, broken],}\n"
    ),
    "conf/known_failures.yaml": (
        "- {case: 'submission-[ehb]*', reason: It divides by zero, issue: 12, until: 2999-12-31}\n"
        "- {case: claude-*-large_maze, reason: It is slow, until: 2999-12-31}\n"  # of another suite
    ),
    "test_own.py": (
        "def test_files(case, submission):\n    assert submission.files\n\n\n"
        "def test_bug(case, submission):\n"
        "    if case.environment.name == 'hard':\n        raise KeyError('a bug in the test')\n"
    ),
}


@pytest.mark.parametrize(
    "workers",
    [pytest.param((), id="here"), pytest.param(("-n", "2"), id="workers", marks=pytest.mark.nightly)],
)
def test_only_expected_failures_are_hidden(tmp_path: Path, workers: tuple[str, ...]) -> None:
    project = Project(tmp_path)
    for name, text in CONF.items():
        project.write(name, text)
    arguments = ("--suite=mine", "--submission=bad", "--set=evaluation.episodes=1", *workers)
    done = project.pytest(*arguments, "-q", "--junitxml=junit.xml")
    assert done.returncode == 1, done.stdout + done.stderr
    told = {
        str(test.get("name")): [child.tag for child in test if child.tag != "properties"] for test in xml_of(project)
    }
    assert told == {
        "test_case[submission-easy]": [],
        "test_files[submission-easy]": [],
        "test_bug[submission-easy]": ["failure"],  # the last one: the whole case passes
        "test_case[submission-hard]": ["skipped"],  # an xfail
        "test_files[submission-hard]": [],
        "test_bug[submission-hard]": ["failure"],  # no assertion: the test is wrong
        "test_case[submission-other]": ["failure"],  # no entry matches it
        "test_files[submission-other]": [],
        "test_bug[submission-other]": [],
        "test_case[submission-broken]": ["error"],  # nothing was graded
        "test_files[submission-broken]": [],
        "test_bug[submission-broken]": [],
    }
    assert "[XPASS(strict)] submission-easy passes, but it is a known failure until 2999-12-31" in done.stdout
    [xfailed] = [child for test in xml_of(project) for child in test if child.tag == "skipped"]
    assert xfailed.get("message") == "known failure: It divides by zero (12)"
    found = {name: (one.outcome, one.known_failure is not None) for name, one in project.records.items()}
    assert found == {
        "submission-easy": ("passed", True),
        "submission-hard": ("failed", True),
        "submission-other": ("failed", False),
        "submission-broken": ("error", True),
    }


def xml_of(project: Project) -> list[ElementTree.Element]:
    return list(ElementTree.parse(project.folder / "junit.xml").iter("testcase"))  # noqa: S314 - pytest has just written it


def test_runxfail_hides_nothing_and_fails_nothing_that_passes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name, text in CONF.items():
        project.write(name, text)
    arguments = ("--suite=mine", "--submission=bad", "--set=evaluation.episodes=1")
    done = project.pytest(*arguments, "--runxfail", "-q", "-rA", "-k", "test_case and (easy or hard)")
    assert "PASSED test_cases.py::test_case[submission-easy]" in done.stdout
    assert "FAILED test_cases.py::test_case[submission-hard]" in done.stdout
