"""The commit of a folder that the records keep."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.commit import commit_of

GIT = shutil.which("git") or "git"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = [GIT, *identity, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_it_is_the_commit_and_whether_a_tracked_file_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, below = tmp_path / "file", tmp_path / "below"
    below.mkdir()
    git(tmp_path, "init", "-q")
    assert commit_of(tmp_path) is None, "there is no commit yet"
    file.write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    git(tmp_path, "tag", "-a", "-m", "v1", "v1")
    head = git(tmp_path, "rev-parse", "HEAD")
    (below / "untracked").write_text("")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert (commit_of(tmp_path), commit_of(below)) == (head, head)
    file.write_text("two")
    assert commit_of(below) == f"{head}-dirty"


def test_a_folder_without_git_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of(tmp_path) is None
    assert commit_of(tmp_path / "missing") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(tmp_path) is None
