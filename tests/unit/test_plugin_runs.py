"""When a session leaves a run, and when it leaves none. The agents here only end."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.commit import commit_of
from harness.results.history_index import INDEX
from tests.support.project import ROOT, Project

FAKE = """\
import pytest

@pytest.fixture
def submission(case):
    return case.id

def test_case(case, submission):
    assert submission == case.id
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("test_cases.py", FAKE)
    return made


def run(project: Project, *arguments: str) -> None:
    done = project.pytest("--backend", "claude", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_session_without_cases_leaves_no_run_and_latest_stays(project: Project) -> None:
    run(project, "--environment", "small_maze")
    assert (project.folder / "runs" / INDEX).is_file()
    project.write("test_other.py", "def test_other(): pass\n")
    before = sorted((project.folder / "runs").iterdir()), (project.folder / "runs/latest").readlink()
    for arguments in (
        ["--fixtures"],
        ["--fixtures-per-test"],
        ["--setup-plan"],
        ["--setup-plan", "-n", "2"],
        ["--collect-only", "--suite", "default"],
        ["--markers"],
        ["--help"],
        ["-k", "other"],
    ):
        done = project.pytest(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (sorted((project.folder / "runs").iterdir()), (project.folder / "runs/latest").readlink()) == before
    project.write("test_broken.py", "import nowhere\n")
    assert project.pytest().returncode == pytest.ExitCode.INTERRUPTED
    assert (sorted((project.folder / "runs").iterdir()), (project.folder / "runs/latest").readlink()) == before


def test_a_run_whose_history_cannot_be_written_ends_well_and_says_so(project: Project) -> None:
    (project.folder / "runs" / INDEX).mkdir(parents=True)
    done = project.pytest("--backend", "claude", "--environment", "small_maze")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cannot update the history: " in done.stderr
    assert (project.folder / "runs/latest/results.jsonl").is_file()


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["plain", "xdist"])
def test_runs_are_kept_in_the_folder_from_the_command_line(project: Project, workers: list[str]) -> None:
    (project.folder / "below").mkdir()
    root = project.folder
    project.folder = root / "below"
    run(project, "--runs-dir", "kept", "--rootdir", str(root), str(root / "test_cases.py"), *workers)
    project.folder = root
    kept = root / "below/kept"
    assert not (root / "runs").exists()
    assert (kept / "latest").resolve().parent == kept
    assert sorted(json.loads((kept / "latest/cases.json").read_bytes())) == [
        "claude-scripted-motion2d_easy",
        "claude-scripted-small_maze",
    ]
    assert len((kept / "latest/results.jsonl").read_text().splitlines()) == 2


def test_the_record_names_the_commits_and_what_the_command_line_chose(project: Project) -> None:
    git = shutil.which("git") or "git"
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run([git, *arguments], cwd=project.folder, check=True)
    run(
        project, "--environment", "small_maze", "--set", "limits.turns=7", "--set", "evaluation.seed=3", "--require-all"
    )
    [record] = project.records.values()
    assert record.versions.harness_commit == commit_of(ROOT)
    assert record.versions.project_commit == commit_of(project.folder) is not None
    assert record.overrides == ["limits.turns=7", "evaluation.seed=3"]
    assert record.options == ["--backend=claude", "--environment=small_maze", "--require-all"]


def test_files_that_an_agent_wrote_are_never_imported(project: Project) -> None:
    run(project, "--environment", "small_maze")
    project.write("runs/latest/claude-scripted-small_maze/workspace/test_theirs.py", "raise SystemExit('imported')\n")
    project.write("fixtures/cases.json", "[]")
    project.write("fixtures/test_ours.py", "def test_ours(): pass\n")
    collected = project.pytest("--collect-only", "-q").stdout
    assert "test_theirs" not in collected
    assert "fixtures/test_ours.py::test_ours" in collected


OVERRIDDEN = """\
import pytest
from msgspec.structs import replace

@pytest.fixture
def case(case):
    return replace(case, replicate=7)

def test_ours_beneath(case):
    assert case.replicate == 7 and case.id.startswith("claude")

class TestOther:
    @pytest.fixture
    def case(self):
        return "mine"

    def test_theirs(self, case):
        assert case == "mine"
"""
LATE = """\
def test_late(request):
    request.getfixturevalue("submission")
"""


def test_a_fixture_that_overrides_ours_may_use_it(project: Project) -> None:
    project.write("test_overridden.py", OVERRIDDEN)
    done = project.pytest("test_overridden.py", "--backend", "claude", "-v")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    project.write("test_late.py", LATE)
    done = project.pytest("test_late.py")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "a test must name `case`, or a fixture that needs it, among its parameters" in done.stdout
