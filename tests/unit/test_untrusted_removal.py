"""Removing a folder that hostile code wrote to removes all of it, and nothing outside it."""

import os
import time
from pathlib import Path

from harness.case_folder import CaseFolder
from harness.untrusted.removal import DISCARDED, discard, remove, wait
from tests.support.hostile_trees import nest

DEPTH = 3000


def test_deep_unreadable_and_oddly_named_entries_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    os.mkfifo(top / "pipe")
    (top / os.fsdecode(b"bad\xff\n")).write_text("")
    locked = top / "locked"
    (locked / "inner").mkdir(parents=True)
    (locked / "inner" / "file").write_text("")
    (locked / "inner").chmod(0)
    locked.chmod(0)
    nest(top, DEPTH)

    discard(top)

    assert not top.exists(), "its name is free at once"
    wait(60)
    assert list(tmp_path.iterdir()) == []


def test_a_removal_that_takes_too_long_goes_on_in_a_thread(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for number in range(1000):
        (top / str(number)).mkdir(parents=True)
    began = time.monotonic()
    assert not remove(top, 0.0)
    assert time.monotonic() - began < 1
    discard(top)
    assert not top.exists()
    wait(60)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_or_no_folder_is_no_obstacle(tmp_path: Path) -> None:
    discard(tmp_path / "missing")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        discard(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_case_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path)
    for name in (f"{DISCARDED}1", f"attempt-1/{DISCARDED}2", "submission"):
        (tmp_path / name / "inner").mkdir(parents=True)
    assert len(case.clear(0.0)) == 2
    assert case.clear(60.0) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["attempt-1", "inner", "submission"]


def test_links_are_removed_and_their_targets_stay(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "kept").write_text("kept")
    top = tmp_path / "top"
    (top / "inner").mkdir(parents=True)
    (top / "link").symlink_to(outside)
    (top / "inner" / "link").symlink_to(outside)
    (top / "inner" / "kept").hardlink_to(outside / "kept")

    remove(top)

    assert not top.exists()
    assert (outside / "kept").read_text() == "kept"
    assert outside.stat().st_mode & 0o777 == 0o755
