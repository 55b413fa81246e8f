"""Selecting cases by name, by shard and by -k, and the message when none is left. These tests run no agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import Project

IDS = [
    f"{backend}-scripted-{environment}"
    for backend in ("claude", "opencode")
    for environment in ("small_maze", "motion2d_easy")
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def collected(project: Project, *arguments: str) -> list[str]:
    """Return the parameters of each collected test, or its name if it has none."""
    output = project.pytest("--collect-only", "-q", *arguments).stdout
    names = [line.partition("::")[2] for line in output.splitlines() if "::" in line]
    return [name.partition("[")[2].rstrip("]") or name for name in names]


def test_backends_models_and_environments_select_cases_by_their_exact_names(project: Project) -> None:
    project.write("test_other.py", "def test_opencode_too(): pass\n")
    assert collected(project, "--backend", "opencode") == IDS[2:]
    assert collected(project, "--environment=small_maze", "--model", "scripted") == [IDS[0], IDS[2]]
    assert collected(project, "--backend", "claude", "--backend", "opencode", "-k", "motion2d") == [IDS[1], IDS[3]]
    assert collected(project, "--suite", "pr", "--backend", "pi", "--environment", "small_maze") == [
        "pi-scripted-small_maze",
        "pi-stand_in_replayed-small_maze",
    ]
    halves = [collected(project, "--backend", "claude", "--shard", part) for part in ("1/2", "2/2")]
    assert sorted(halves[0] + halves[1]) == sorted(IDS[:2])
    assert len(halves[0]) == 1


NOTED = """\
import os

def test_noted(case):
    with open("ran.txt", "a") as file:
        file.write(case.id + "\\n")
"""


def test_workers_run_the_same_selection_and_the_header_covers_only_that(project: Project) -> None:
    project.write("test_cases.py", NOTED)
    done = project.pytest("--backend", "opencode", "-n", "2", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted((project.folder / "ran.txt").read_text().split()) == sorted(IDS[2:])
    assert "scheduling tests via CaseScheduling" in done.stdout
    assert "model servers: 1" in project.pytest("--suite", "nightly", "--model", "gpt_oss_20b", "--co").stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--backend", "claud"], ["--backend claud: suite default has no backend", "claude, opencode"]),
        (
            ["--backend", "pi", "-n", "2"],
            ["choose from: claude, opencode", "--suite agents or debug or nightly or pr or smoke"],
        ),
        (["--model", "nope"], ["--model nope: suite default has no model", "choose from: scripted"]),
        (["--environment", ""], ["--environment : the name is empty; choose from: small_maze"]),
        (["--environment", "large_maze"], ["choose from: small_maze, motion2d_easy", "--suite nightly"]),
        (["--backend", "claude", "--model", "gpt"], ["no model of this name", "--set 'suite.models=[gpt]'"]),
    ],
)
def test_a_name_that_the_suite_lacks_is_a_usage_error(project: Project, arguments: list[str], parts: list[str]) -> None:
    done = project.pytest(*arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    for part in parts:
        assert part in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def settled(project: Project) -> Project:
    """A project that says where its tests of cases are. Its other tests print a line when they are imported."""
    (project.folder / "cases").mkdir()
    (project.folder / "test_cases.py").rename(project.folder / "cases/test_cases.py")
    project.write("tests/test_other.py", "print('imported', __name__)\n\ndef test_claude_too(): pass\n")
    project.write("pytest.ini", "[pytest]\ntestpaths = cases tests\nproctor_testpaths = cases\n")
    return project


@pytest.mark.parametrize(
    ("arguments", "cases_alone"),
    [
        (["-k", "claude"], True),
        (["-k", "claude or opencode"], True),
        (["-k", "claude and small_maze"], True),
        (["-k", "claude-scripted-small_maze"], True),
        (["--suite", "default"], True),
        (["--backend", "claude"], True),
        (["--shard", "1/2"], True),
        (["-k", "claud"], False),
        (["-k", "claude and too"], False),
        (["-k", "not claude"], False),
        (["-k", "claude", "-m", "slow"], False),
        (["-k", "claude", "tests"], False),
        ([], False),
    ],
)
def test_no_other_test_is_imported_if_the_command_selects_cases(
    settled: Project, arguments: list[str], *, cases_alone: bool
) -> None:
    done = settled.pytest("--collect-only", "-q", "-s", *arguments)
    assert ("imported" not in done.stdout) == cases_alone, done.stdout
    assert ("::test_case[" in done.stdout) >= cases_alone


def test_a_subfolder_has_its_own_tests_unless_an_option_asks_for_cases(settled: Project) -> None:
    folder = settled.folder
    settled.folder = folder / "tests"
    assert collected(settled, "-k", "claude") == ["test_claude_too"]
    assert collected(settled, "--suite", "smoke", "--backend", "claude") == ["claude-scripted-small_maze"]
    settled.folder = folder


def test_a_keyword_that_matches_no_case_selects_tests_as_usual(settled: Project) -> None:
    assert collected(settled, "-k", "claude and too") == ["test_claude_too"]
    assert collected(settled, "-k", "not claude") == IDS[2:]
    assert collected(settled, "-k", "not opencode") == [*IDS[:2], "test_claude_too"]
    broken = settled.pytest("-k", "claude and (")
    assert broken.returncode == pytest.ExitCode.USAGE_ERROR
    assert "Wrong expression passed to '-k'" in broken.stderr


NONE = "name: none\nbackends: [claude]\nmodels: [scripted]\nenvironments: [small_maze]\nexclude: [{backend: claude}]\n"
SOME = "name: some\nbackends: [claude, pi]\nmodels: [scripted]\nenvironments: [small_maze]\nexclude: [{backend: pi}]\n"
USAGE, NO_TESTS = pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["plain", "xdist"])
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--suite", "none"], USAGE, "conf/suite/none.yaml: suite.exclude leaves no case of suite none"),
        (["--suite", "none", "--allow-empty"], NO_TESTS, "suite.exclude leaves no case of suite none"),
        (["--shard", "3/3", "--backend", "claude"], USAGE, "shard 3/3 has none of the cases of suite default for"),
        (["--suite", "some", "--backend", "pi"], NO_TESTS, "suite some has no case for --backend pi"),
        (
            ["--suite", "default", "-k", "nope"],
            NO_TESTS,
            "none of the 4 cases of suite default was selected by -k 'nope'",
        ),
        (["--suite", "default", "test_other.py"], 0, "none of the collected tests asks for `case`"),
    ],
)
def test_an_empty_selection_is_reported(
    project: Project, arguments: list[str], code: int, said: str, workers: list[str]
) -> None:
    for name, text in {"none": NONE, "some": SOME}.items():
        project.write(f"conf/suite/{name}.yaml", text)
    project.write("test_other.py", "def test_other(): pass\n")
    done = project.pytest(*arguments, *workers)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in (done.stderr if code == USAGE else done.stdout)
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project.folder / "runs").exists()


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["plain", "xdist"])
def test_an_empty_default_suite_is_an_error_if_a_test_asks_for_a_case(project: Project, workers: list[str]) -> None:
    project.write("conf/suite/default.yaml", NONE.replace("name: none", "name: default"))
    done = project.pytest(*workers)
    assert done.returncode == USAGE
    assert "suite.exclude leaves no case of suite default" in done.stderr
    done = project.pytest("--allow-empty", *workers)
    assert done.returncode == 0
    assert "suite.exclude leaves no case of suite default" in done.stdout


def test_the_summary_says_that_every_case_was_skipped(project: Project) -> None:
    project.write("test_cases.py", "import pytest\n\n@pytest.mark.skip\ndef test_case(case, submission): pass\n")
    done = project.pytest("--backend", "claude")
    assert done.returncode == 0
    assert "every case was skipped" in done.stdout


NO_XDIST = """\
import sys

class NoXdist:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "xdist":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoXdist())
"""


def test_cases_are_selected_as_usual_without_a_terminal_reporter_and_xdist(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("test_cases.py", NOTED)
    project.write("sitecustomize.py", NO_XDIST)
    monkeypatch.setenv("PYTHONPATH", str(project.folder))
    project.write("conf/model/local.yaml", "name: local\nprovider: llamacpp\nserver: {file: weights.gguf}\n")
    without = ["-p", "no:xdist", "-p", "no:xdist.looponfail", "--import-mode=importlib"]
    local = ["--set", "suite.models=[local]"]
    for arguments in (["-p", "no:terminal"], []):
        done = project.pytest_in_new_python("--backend", "claude", *local, *without, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (project.folder / "ran.txt").read_text().split() == 2 * [
        "claude-local-small_maze",
        "claude-local-motion2d_easy",
    ]
    assert "model servers: 1" in done.stdout
