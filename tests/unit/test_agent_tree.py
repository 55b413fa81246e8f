"""Looking at a folder that an agent may have made hostile, while it changes or not; and weighing a box."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.agent.resources import BoxMonitor
from harness.agent.tree import digest, settle, walk
from harness.evaluation.scratch import discard
from harness.sandbox.base import SandboxError
from tests.support.fakes import FakeClock


def names(folder: Path) -> Counter[str]:
    return Counter(name for name, _status in walk(folder))


def test_every_entry_is_seen_once_and_no_link_followed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    for name in ("a/one", "a/b/two", "c/three"):
        (tmp_path / name).write_text("x")
    (tmp_path / "c/loop").symlink_to(tmp_path)
    assert names(tmp_path) == Counter(["a", "b", "c", "one", "two", "three", "loop"])


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Three thousand folders, one in the other; pytest itself could not remove them."""
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
        discard(top)


def test_any_depth_takes_two_descriptors(deep: Path) -> None:
    process = psutil.Process()
    before, most = process.num_fds(), 0
    for count, _ in enumerate(walk(deep), 1):
        most = max(most, process.num_fds()) if count % 100 == 0 else most
    assert count == 3000
    assert most <= before + 3


def test_a_folder_moved_from_under_the_walk_ends_it_and_leads_nowhere_else(tmp_path: Path) -> None:
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


def test_the_digest_changes_with_content_names_and_times(tmp_path: Path) -> None:
    seen = {digest([tmp_path])}
    for change in (
        lambda: (tmp_path / "file").write_text("x"),
        lambda: (tmp_path / "file").write_text("xy"),
        lambda: os.utime(tmp_path / "file", ns=(0, 1)),
        lambda: (tmp_path / "file").rename(tmp_path / "other"),
        (tmp_path / "other").unlink,
    ):
        change()
        seen.add(digest([tmp_path]))
    assert len(seen) == 5  # at the end it is as it was
    assert digest([tmp_path]) == digest([tmp_path])


class Busy(FakeClock):
    """While one sleeps, something writes; `times` times."""

    def __init__(self, file: Path, times: int) -> None:
        super().__init__()
        self._file, self._times = file, times

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._times -= 1
        if self._times >= 0:
            self._file.write_text("x" * self._times)


def test_settling_takes_until_two_looks_agree(tmp_path: Path) -> None:
    assert settle([tmp_path], Busy(tmp_path / "file", 0)) == pytest.approx(0.05)
    assert settle([tmp_path], Busy(tmp_path / "file", 3)) == pytest.approx(0.20)


def test_a_folder_that_never_rests_is_a_failure_of_the_sandbox(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="still changes"):
        settle([tmp_path], Busy(tmp_path / "file", 10**6))


def test_the_monitor_counts_descendants_their_memory_and_what_lies_on_disk(tmp_path: Path) -> None:
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
