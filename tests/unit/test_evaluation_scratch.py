"""Removing a folder that hostile code wrote to removes all of it, and nothing outside it."""

import os
from pathlib import Path

from harness.evaluation.scratch import discard

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
    descend(top)

    discard(top)

    assert not top.exists()


def descend(top: Path) -> None:
    """Make a chain of folders whose path is far longer than the system allows."""
    folder = os.open(top, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


def test_links_are_removed_and_their_targets_stay(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "kept").write_text("kept")
    top = tmp_path / "top"
    (top / "inner").mkdir(parents=True)
    (top / "link").symlink_to(outside)
    (top / "inner" / "link").symlink_to(outside)
    (top / "inner" / "kept").hardlink_to(outside / "kept")

    discard(top)

    assert not top.exists()
    assert (outside / "kept").read_text() == "kept"
    assert outside.stat().st_mode & 0o777 == 0o755
