"""The file system of a box with a bounded disk: what the host put there, what the box left, and what is not kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case_folder import CaseFolder
from harness.evaluation.submission import collect
from harness.sandbox.base import BoundedSandbox, Bounds
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.disk import can_make_disks
from harness.sandbox.transfer import Transfer, replace_contents
from tests.support.sandboxes import bubblewrap, finish, request

BOUNDS = Bounds(disk_bytes=10_000_000)

TREES = st.recursive(
    st.binary(max_size=50),
    lambda inner: st.dictionaries(st.text("abcé .\n", min_size=1).filter(lambda n: n not in {".", ".."}), inner),
    max_leaves=6,
)


def plant(folder: Path, tree: object) -> None:
    """Make a folder with these files and folders."""
    folder.mkdir()
    for name, entry in tree.items() if isinstance(tree, dict) else ():
        plant(folder / name, entry) if isinstance(entry, dict) else (folder / name).write_bytes(entry)


def found(folder: Path) -> dict[str, object]:
    return {entry.name: found(entry) if entry.is_dir() else entry.read_bytes() for entry in folder.iterdir()}


def copied(source: Path, size: int = 10**6) -> tuple[Path, Transfer]:
    target = source.with_name("target")
    target.mkdir()
    return target, Transfer(source, target, os.geteuid(), size)


@settings(max_examples=20)
@given(tree=st.dictionaries(st.text("ab", min_size=1), TREES))
def test_a_copy_has_the_same_folders_and_files(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    folder = tmp_path_factory.mktemp("tree")
    plant(folder / "source", tree)
    target, done = copied(folder / "source")
    assert (found(target), done.left_out) == (tree, 0)
    shutil.rmtree(folder)


def test_rights_times_and_links_are_kept_and_setuid_bits_are_not(tmp_path: Path) -> None:
    plant(tmp_path / "source", {"run": b"x", "closed": {"in": b"y"}})
    (tmp_path / "source/link").symlink_to("/etc/passwd")
    (tmp_path / "source/run").chmod(0o4751)
    os.utime(tmp_path / "source/run", ns=(1, 2))
    (tmp_path / "source/closed").chmod(0o500)
    target, done = copied(tmp_path / "source")
    assert done.left_out == 0
    assert (target / "link").readlink() == Path("/etc/passwd")
    assert ((target / "run").stat().st_mode & 0o7777, (target / "run").stat().st_mtime_ns) == (0o751, 2)
    assert (target / "closed").stat().st_mode & 0o777 in {0o500, 0o700}
    for folder in (tmp_path / "source/closed", target / "closed"):
        folder.chmod(0o700)


def test_special_files_and_what_is_too_deep_or_too_large_are_left_out(tmp_path: Path) -> None:
    plant(tmp_path / "source", {"small": b"x"})
    os.mkfifo(tmp_path / "source/pipe")
    (tmp_path / "source/large").write_bytes(b"x" * 20_000)
    deep = tmp_path / "source"
    for _ in range(70):
        (deep := deep / "d").mkdir()
    target, done = copied(tmp_path / "source", size=10_000)
    assert done.left_out == 3
    assert sorted(os.listdir(target)) == ["d", "small"]  # noqa: PTH208 - names


def test_a_sparse_file_takes_no_space(tmp_path: Path) -> None:
    plant(tmp_path / "source", {})
    with (tmp_path / "source/sparse").open("wb") as file:
        file.truncate(10**9)
        file.seek(10**8)
        file.write(b"x")
    target, done = copied(tmp_path / "source")
    status = (target / "sparse").stat()
    assert (done.left_out, status.st_size) == (0, 10**9)
    assert status.st_blocks * 512 < 10**6


def test_the_contents_of_a_folder_are_replaced(tmp_path: Path) -> None:
    plant(tmp_path / "old", {"a": b"1", "b": {}})
    plant(tmp_path / "new", {"a": b"2"})
    assert replace_contents(tmp_path / "old", tmp_path / "new", os.geteuid(), 10**6) == 0
    assert found(tmp_path / "old") == {"a": b"2"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new", "old"]


@pytest.mark.skipif(not can_make_disks(), reason="no file system can be made for a box here")
def test_a_box_begins_with_the_hosts_files_and_leaves_its_own(tmp_path: Path) -> None:
    plant(tmp_path / "workspace", {"given": b"words\n"})
    with bubblewrap().open(request(tmp_path, bounds=BOUNDS)) as box:
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "home/late").write_text("also\n")
        assert finish(box, ["sh", "-c", "cat given ~/late; rm given; echo made > new; mkfifo pipe"]) == (
            0,
            "words\nalso\n",
        )
        assert (box.outside() / "new").read_text() == "made\n", "the host sees it while the box is open"
        assert not (tmp_path / "workspace/new").exists()
    assert box.outside() == tmp_path / "workspace"
    assert found(tmp_path / "workspace") == {"new": b"made\n"}
    assert "1 entries of workspace were not kept" in (tmp_path / "stderr").read_text()
    with bubblewrap().open(request(tmp_path, bounds=BOUNDS)) as box:
        assert finish(box, ["sh", "-c", "cat new ~/late"]) == (0, "made\nalso\n"), "a second box goes on"


@pytest.mark.skipif(not can_make_disks(), reason="no file system can be made for a box here")
def test_a_program_can_be_taken_from_a_running_box(tmp_path: Path) -> None:
    dirs = SandboxDirs(BoundedSandbox(bubblewrap(), BOUNDS), CaseFolder(tmp_path / "case"))
    with dirs.open() as box:
        box.exec(["sh", "-c", "mkdir try; echo x > try/approach.py; echo up; sleep 100"], {})
        assert box.stdout.readline() == b"up\n"
        taken = collect(dirs.live_workspace, tmp_path / "taken", folder="try")
    assert (taken.reason, list(taken.files)) == (None, ["approach.py"])
    assert (dirs.workspace / "try/approach.py").read_text() == "x\n"


@pytest.mark.skipif(not can_make_disks(), reason="no file system can be made for a box here")
def test_a_full_disk_is_an_error_of_the_program(tmp_path: Path) -> None:
    fill = "for i in $(seq 30); do head -c 1000000 /dev/zero > $i || exit 3; done"
    with bubblewrap().open(request(tmp_path, bounds=BOUNDS, kept=False)) as box:
        assert finish(box, ["sh", "-c", fill])[0] == 3
        assert 10_000_000 < box.resources().disk_bytes < 13_000_000
    assert "No space left on device" in (tmp_path / "stderr").read_text()
    assert found(tmp_path / "workspace") == {}
