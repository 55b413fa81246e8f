"""Waiting until the folders of a session no longer change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.agent.settle import digest, settle
from harness.sandbox.base import SandboxError
from tests.support.fakes import FakeClock


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
    assert len(seen) == 5  # at the end it is the same as before
    assert digest([tmp_path]) == digest([tmp_path])


class Busy(FakeClock):
    """A clock: something writes a file during each of its first `times` sleeps."""

    def __init__(self, file: Path, times: int) -> None:
        super().__init__()
        self._file, self._times = file, times

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._times -= 1
        if self._times >= 0:
            self._file.write_text("x" * self._times)


def test_settling_waits_until_two_looks_agree(tmp_path: Path) -> None:
    assert settle([tmp_path], Busy(tmp_path / "file", 0)) == pytest.approx(0.05)
    assert settle([tmp_path], Busy(tmp_path / "file", 3)) == pytest.approx(0.20)


def test_a_folder_that_never_settles_is_a_failure_of_the_sandbox(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="still changes"):
        settle([tmp_path], Busy(tmp_path / "file", 10**6))
