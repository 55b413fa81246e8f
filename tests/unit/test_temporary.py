"""A killed process leaves its temporary folder only until the next one makes such a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.temporary import temporary_folder
from tests.support.project import ROOT

PROGRAM = """\
import os, signal
from harness.sandbox.probe import probe
class Killer:
    seals = True
    class python: readable = ()
    def open(self, request):
        request.workspace.mkdir()
        os.kill(os.getpid(), signal.SIGKILL)
probe(Killer())
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this test."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_probe_left_is_removed_by_the_next_one(temporary: Path) -> None:
    variables = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", PROGRAM], env=variables, check=False)
    assert killed.returncode == -signal.SIGKILL
    [left] = temporary.iterdir()
    with temporary_folder("probe") as folder:
        assert list(temporary.iterdir()) == [folder]
        assert folder != left
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_living_process_stays(temporary: Path) -> None:
    with temporary_folder("probe") as first:
        with temporary_folder("probe") as second:
            assert {first, second} == set(temporary.iterdir())
        assert first.is_dir()


@pytest.mark.usefixtures("temporary")
def test_a_folder_that_is_swept_before_it_is_held_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    make, made = tempfile.mkdtemp, list[Path]()

    def swept_once(**options: str) -> str:
        made.append(Path(make(**options)))
        if len(made) == 1:
            made[0].rmdir()
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", swept_once)
    with temporary_folder("probe") as folder:
        assert folder == made[1]
        assert folder.is_dir()
