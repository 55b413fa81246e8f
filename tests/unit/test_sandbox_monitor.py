"""The host's view of a box: the files below a folder that may be hostile, and the resources that the box uses."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.sandbox.monitor import BoxMonitor
from harness.untrusted.removal import remove
from harness.untrusted.tree import walk


def names(folder: Path) -> Counter[str]:
    return Counter(name for name, _status in walk(folder))


def test_every_entry_is_visited_once_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    for name in ("a/one", "a/b/two", "c/three"):
        (tmp_path / name).write_text("x")
    (tmp_path / "c/loop").symlink_to(tmp_path)
    assert names(tmp_path) == Counter(["a", "b", "c", "one", "two", "three", "loop"])


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Three thousand nested folders. pytest itself could not remove them."""
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    try:
        for _ in range(3000):
            os.mkdir("d", dir_fd=here)
            here, outer = os.open("d", os.O_RDONLY, dir_fd=here), here
            os.close(outer)
        yield top
    finally:
        os.close(here)
        remove(top)


def test_any_depth_needs_two_descriptors(deep: Path) -> None:
    process = psutil.Process()
    before, most = process.num_fds(), 0
    for count, _ in enumerate(walk(deep), 1):
        most = max(most, process.num_fds()) if count % 100 == 0 else most
    assert count == 3000
    assert most <= before + 3


def test_a_folder_moved_during_the_walk_ends_it_and_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("x")
    seen = []
    for name, _status in walk(tmp_path / "in"):
        seen.append(name)
        (tmp_path / "in/deep/file").write_text("x") if name == "deep" else None
        if name == "file":
            (tmp_path / "in/deep").rename(tmp_path / "outside/deep")
    assert seen == ["deep", "file"]


def test_the_monitor_counts_descendants_their_memory_and_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1_000_000)
    with subprocess.Popen(["/bin/sh", "-c", "sleep 100 & sleep 100 & wait"], start_new_session=True) as shell:
        try:
            monitor = BoxMonitor(shell.pid, [tmp_path])
            while (seen := monitor.measure(now := time.monotonic())).processes < 3:
                monitor = BoxMonitor(shell.pid, [tmp_path])
            assert seen.memory_bytes > 500_000
            later = monitor.measure(now + 3)
            assert later.disk_bytes >= 1_000_000
            assert monitor.measure(now + 60).disk_bytes == later.disk_bytes
        finally:
            os.killpg(shell.pid, 9)
    assert monitor.measure(now + 120).processes == 0


def test_a_large_tree_is_counted_over_several_looks(tmp_path: Path) -> None:
    for number in range(2500):
        (tmp_path / str(number)).touch()
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    monitor = BoxMonitor(os.getpid(), [tmp_path])
    for look in range(5):
        seen = monitor.measure(100.0 + look / 2)
    assert seen.disk_bytes >= 100_000
