"""What clears up after struck runs kills only what the test has started, and the failing disk stays out of sight."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import leftovers
from tests.support.failing_disk import disks_can_fail
from tests.support.leftovers import Leftovers

SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(1000)"]
DISK = """\
import sys
from pathlib import Path
from tests.support import leftovers
from tests.support.failing_disk import FailingDisk
folder = Path(sys.argv[1])
with FailingDisk(folder / "disk", folder / "runs"):
    print(Path("/proc/self/mountinfo").read_text().count(str(folder)), flush=True)
    sys.stdin.read()
"""


def test_a_stranger_that_mentions_the_folder_is_reported_and_never_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "GRACE_S", 0.1)
    left = Leftovers(tmp_path, tmp_path, tmp_path)
    variables = {**os.environ, "MENTIONS": str(tmp_path)}
    with subprocess.Popen(SLEEP, env=variables, stdout=subprocess.PIPE) as stranger, psutil.Popen(SLEEP) as ours:
        try:
            assert stranger.stdout
            stranger.stdout.readline()
            left.note(psutil.Process(ours.pid))
            left.kill()
            assert ours.wait(10) != 0
            assert stranger.poll() is None
            assert [line.split(":")[0] for line in left.found()] == [f"process {stranger.pid}"]
        finally:
            stranger.kill()
            left.kill()


@pytest.mark.skipif(not disks_can_fail(), reason="only root can mount a disk that fails")
def test_no_other_process_sees_the_failing_disk(tmp_path: Path) -> None:
    program = [sys.executable, "-c", DISK, str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as mounting:
        assert mounting.stdout
        assert int(mounting.stdout.readline()) >= 2
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
        assert str(tmp_path) not in Path("/proc/1/mountinfo").read_text()
        mounting.communicate()
        assert mounting.returncode == 0
