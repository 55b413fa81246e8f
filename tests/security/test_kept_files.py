"""What an agent left is kept, but nothing in the folder of a run makes a program on the host run it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.case_folder import CaseFolder
from harness.results.sealing import seal_run
from harness.results.store import RunStore, finish_killed
from harness.untrusted.removal import remove
from tests.support.archives import archived, content
from tests.support.hostile_trees import nest, plain_traps
from tests.support.project import Project

PLANTS = r"""
mkdir -p repo/objects repo/refs sub evil.dist-info
printf 'ref: refs/heads/main\n' > repo/HEAD
printf '[core]\n\tbare = false\n\tworktree = ..\n\tfsmonitor = "touch PLACE/pwned; false"\n' > repo/config
printf 'gitdir: repo\n' > .git
printf 'gitdir: ../repo\n' > sub/.git
for name in conftest.py sitecustomize.py test_it.py sub/conftest.py; do
    printf 'open("PLACE/pwned", "w")\n' > $name
done
printf 'all:\n\ttouch PLACE/pwned\n' > Makefile
printf '[pytest]\naddopts = -p conftest\n' > pytest.ini
touch x.pth .envrc evil.dist-info/entry_points.txt
mkfifo pipe; ln -s / root; chmod 0 sub
printf 'my notes\n' > notes.txt
cp -r repo .git "$HOME"
"""
DEEP = "python3 -c \"import os; [(os.mkdir('d'), os.chdir('d')) for _ in range(1200)]\""
MODELS = {"graded": "- text: Done.", "failing": "- text: A few words.\n    fail: {status: 401}"}
TESTS = """\
def test_one(submission, sandbox):
    assert (sandbox.workspace / "notes.txt").read_text() == "my notes\\n"

def test_two(submission, sandbox):
    assert sandbox.run(["cat", "notes.txt"]).stdout == b"my notes\\n"
"""
HAND_IN = "printf 'import json\\n' > approach.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of two cases. Their agents plant traps; one session is graded, and the other ends with an error."""
    project = Project(tmp_path_factory.mktemp("project"))
    commands = [*PLANTS.replace("PLACE", str(project.folder)).splitlines(), HAND_IN]
    for name, end in MODELS.items():
        project.write(f"conf/model/{name}.yaml", f"name: {name}\nprovider: scripted\nscript: {name}\n")
        script = "\n          ".join(filter(None, [*commands, *([DEEP] if name == "graded" else [])]))
        turns = f"turns:\n  - calls:\n      - run: |\n          {script}\n  {end}\n"
        project.write(f"conf/scripts/{name}.yaml", turns)
    project.write(
        "conf/suite/traps.yaml",
        f"name: traps\nbackends: [claude]\nmodels: [{', '.join(MODELS)}]\nenvironments: [small_maze]\n",
    )
    project.write("test_two_tests.py", TESTS)
    done = project.pytest("test_two_tests.py", "--suite", "traps")
    try:
        assert "2 passed, 2 errors" in done.stdout, done.stdout + done.stderr
        yield (project.folder / "runs/latest").resolve()
    finally:
        remove(project.folder)  # pytest cannot, if it was left as it was


def test_no_plain_file_of_a_run_is_a_trap(run: Path) -> None:
    ours = {str(path.relative_to(run)) for path in run.glob("*/versions.git/HEAD")}
    assert set(plain_traps(run)) == ours, "the harness alone writes the repository of a case's versions"
    assert not list(run.rglob("pipe"))
    git = shutil.which("git") or "git"
    for folder in [run, *(path for path in run.rglob("*") if path.is_dir())]:
        subprocess.run([git, "-C", str(folder), "status"], capture_output=True, check=False)
    assert not (run.parents[1] / "pwned").exists()


def test_the_workspace_is_kept_as_an_archive_with_a_listing(run: Path) -> None:
    graded = CaseFolder(run / "claude-graded-small_maze")
    assert sorted(path.name for path in graded.path.iterdir()) == [
        "gateway.jsonl", "instructions.md", "packages.json", "prompt.md", "renders", "result.json",
        "stderr.log", "stream.jsonl", "submission", "versions.git", "versions.jsonl", "workspace.tar.gz",
        "workspace.txt",
    ]  # fmt: skip
    assert sorted(path.name for path in graded.submission.rglob("*")) == ["CLAUDE.md", "approach.py", "notes.txt"]
    assert content(graded.workspace_archive, "notes.txt") == b"my notes\n"
    members = archived(graded.workspace_archive)
    assert {".git", "repo/config", "Makefile", "sub/conftest.py"} <= members.keys()
    assert members.keys().isdisjoint({"pipe", "root"})
    listing = graded.workspace_listing.read_text()
    assert "workspace/root  (not stored: a symlink to /)" in listing
    told = (
        listing + (graded.path / "stderr.log").read_text()
    )  # root's boxes leave special and deep entries out themselves
    assert (
        "workspace/pipe  (not stored: a FIFO)" in told
        or "entries of workspace were not kept: special, too deep" in told
    )


def test_a_home_is_kept_in_the_same_way_if_nothing_was_graded(run: Path) -> None:
    failing = CaseFolder(run / "claude-failing-small_maze")
    assert {".git", "repo/config"} <= archived(failing.home_archive).keys()
    assert not failing.home.exists()
    assert not failing.workspace.exists()


def test_other_users_cannot_read_a_run(run: Path) -> None:
    for path in [run.parent, run, *run.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_an_archive_unpacks_into_an_empty_folder(run: Path, tmp_path: Path) -> None:
    archive = run / "claude-graded-small_maze/workspace.tar.gz"
    program = shutil.which("tar") or "tar"
    done = subprocess.run([program, "-xzf", archive, "-C", tmp_path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert (tmp_path / "workspace/notes.txt").read_text() == "my notes\n"
    assert all(path.is_file() or path.is_dir() for path in tmp_path.rglob("*"))


def test_the_next_run_puts_away_what_a_killed_run_left(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs/one")
    store.begin(["a"])
    os.close(store._claimed or 0)  # as the end of its process does
    case = CaseFolder(tmp_path / "runs/one/a")
    for folder in (case.workspace, case.attempt(1).home, store.run / ".room-x/submission"):
        folder.mkdir(parents=True)
        (folder / ".git").write_text("gitdir: repo\n")
    nest(case.workspace, 100)
    assert finish_killed(tmp_path / "runs", {}) == []
    assert plain_traps(tmp_path / "runs/one") == []
    assert ".git" in archived(case.workspace_archive)
    assert sorted(path.name for path in case.path.iterdir()) == ["attempt-1", "workspace.tar.gz", "workspace.txt"]
    assert not (store.run / ".room-x").exists()


def test_what_cannot_be_packed_is_said_and_stays(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path / "a")
    (case.workspace / "file").mkdir(parents=True)
    (case.path / ".workspace.tar.gz.new").mkdir()  # in the way, as a full disk would be
    [fault] = seal_run(tmp_path, {})
    assert fault.startswith(f"{case.workspace} cannot be packed into an archive: ")
    assert case.workspace.is_dir()
