"""A process in a box looks for the names of its case, its suite and its run. Nothing that it can read has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.case_folder import CaseFolder
from harness.results.sealing import seal_run
from harness.results.taking import take
from harness.sandbox.base import BoundedSandbox, Bounds
from harness.sandbox.dirs import SandboxDirs
from tests.support.archives import content
from tests.support.sandboxes import PYTHON, bubblewrap, finish

RUN, CASE = "20261126T110221.244Z-nightly", "claude-careless-small_maze"
TELLING = ("nightly", "2026112", "careless", "small_maze")

LOOKS = """
import os, pathlib, socket
print("hostname", socket.gethostname())
for process in pathlib.Path("/proc").glob("[0-9]*"):
    for name in ("mountinfo", "mounts", "mountstats", "cgroup", "cmdline", "environ", "maps", "status", "limits"):
        try:
            print(name, (process / name).read_bytes())
        except OSError:
            pass
    for links in ("fd", "map_files", "."):
        try:
            found = list((process / links).iterdir())
        except OSError:
            continue
        for link in found:
            try:
                print(link, os.readlink(link))
            except OSError:
                pass
for top in ("/sandbox", "/tmp", "/dev", "/etc"):
    for folder, folders, files in os.walk(top):
        print(folder, folders, files)
pathlib.Path("notes").write_text("kept")
"""


def case_in(folder: Path) -> CaseFolder:
    case = CaseFolder(folder / RUN / CASE)
    case.renders.mkdir(parents=True)
    (case.renders / "1.png").write_text("picture")
    return case


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(disk_bytes=50_000_000)], ids=["folders", "disk"])
def test_nothing_in_a_box_names_its_case_its_suite_or_its_run(tmp_path: Path, bounds: Bounds) -> None:
    case = case_in(tmp_path)
    dirs = SandboxDirs(BoundedSandbox(bubblewrap(), bounds), case)
    with dirs.open(mounts={"renders": case.renders}) as box:
        (case.workspace / "task").write_text("do it")
        assert (case.renders / "1.png").read_text() == "picture", "the host finds them under their names"
        code, seen = finish(box, [PYTHON.inside, "-I", "-S", "-c", LOOKS])
        assert code == 0, case.stderr.read_text()
    assert "mountinfo" in seen
    assert "/sandbox/renders" in seen
    assert "/fd/2" in seen
    assert not [word for word in TELLING if word in seen]
    assert (case.workspace / "notes").read_text() == "kept"
    assert not any(path.is_symlink() for path in case.path.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == [RUN], "no room is left"
    assert [path.name for path in case.path.parent.iterdir()] == [CASE]


KILLED = """
import os, signal, sys
from pathlib import Path
from harness.case_folder import CaseFolder
from harness.sandbox.dirs import SandboxDirs
from tests.support.sandboxes import bubblewrap, finish

case = CaseFolder(Path(sys.argv[1]))
box = SandboxDirs(bubblewrap(), case).open(mounts={"renders": case.renders})
finish(box, ["sh", "-c", "echo mine > notes"])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path: Path) -> CaseFolder:
    """The folder of a case whose process was killed while its box was open."""
    case = case_in(tmp_path)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(case.path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    return case


def test_what_a_killed_session_left_is_found_under_its_name_and_kept_in_its_folder(killed: CaseFolder) -> None:
    run = killed.path.parent
    assert (killed.workspace / "notes").read_text() == "mine\n", "a link leads to it"
    assert seal_run(run, {}) == []
    assert content(killed.workspace_archive, "notes") == b"mine\n"
    assert (killed.renders / "1.png").read_text() == "picture"
    assert not killed.renders.is_symlink()
    assert [path.name for path in run.parent.iterdir()] == [RUN]
    assert [path.name for path in run.iterdir()] == [CASE]


def test_a_merge_takes_what_a_killed_session_left(killed: CaseFolder, tmp_path: Path) -> None:
    taken = CaseFolder(tmp_path / "merged" / CASE)
    take(killed.path, taken.path, {})
    assert content(taken.workspace_archive, "notes") == b"mine\n"
    assert (taken.renders / "1.png").read_text() == "picture"
    assert (killed.workspace / "notes").exists(), "the run stays as it is"


def test_a_link_to_another_place_is_not_followed(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path / "runs" / RUN / CASE)
    case.path.mkdir(parents=True)
    for place in (tmp_path / "precious/workspace", tmp_path / ".room-x/workspace"):
        place.mkdir(parents=True)
        (place / "file").write_text("mine")
        case.workspace.symlink_to(place)
        take(case.path, tmp_path / place.parent.name / "taken", {})
        seal_run(case.path.parent, {})
        assert (place / "file").read_text() == "mine"
        assert not os.path.lexists(case.workspace)
        assert not any(path.suffix == ".gz" for path in (tmp_path / place.parent.name / "taken").iterdir())
