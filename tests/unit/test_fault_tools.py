"""The tools of `make faults`: their faults are real, and they touch nothing that the test has not started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.figures import BEGIN, END, Drawn, Note, written
from tests.support import leftovers
from tests.support.failing_disk import disks_can_fail
from tests.support.leftovers import Leftovers
from tests.support.moved_clock import MovedClock, clocks_can_move

SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(1000)"]
DISK = """\
import sys
from pathlib import Path
from tests.support import leftovers
from tests.support.failing_disk import FailingDisk
folder = Path(sys.argv[1])
with FailingDisk(folder / "runs"):
    print(Path("/proc/self/mountinfo").read_text().count(str(folder)), flush=True)
    sys.stdin.read()
"""
FAULTS = """\
import errno, os, sys
from pathlib import Path
from tests.support.failing_disk import FailingDisk
folder = Path(sys.argv[1])

def wrote(name):
    try:
        with (folder / "runs" / name).open("wb") as file:
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return errno.errorcode[error.errno]
    return "yes"

with FailingDisk(folder / "runs") as disk:
    said = [wrote("kept")]
    for fault in (disk.fill, disk.break_down, disk.stop_writing):
        fault()
        said.append(wrote("lost"))
        disk.repair()
        said.append(wrote("again"))
    print(*said, (folder / "runs/kept").stat().st_size)
"""
CLOCK = "import datetime, time; print(time.time(), datetime.datetime.now().timestamp(), time.monotonic())"


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
        assert int(mounting.stdout.readline()) == 1
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
        assert str(tmp_path) not in Path("/proc/1/mountinfo").read_text()
        mounting.communicate()
        assert mounting.returncode == 0


@pytest.mark.skipif(not disks_can_fail(), reason="only root can mount a disk that fails")
def test_the_disk_fails_as_real_disks_do_and_can_be_repaired(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["yes", "ENOSPC", "yes", "EIO", "yes", "EROFS", "yes", str(1 << 20)]


def test_the_figures_are_written_between_the_marks_and_nothing_else_changes() -> None:
    drawn = Drawn(moment=0.5, which=1, agent=True, left=["a port"], lost=[], wrong=["it hangs"], seconds=2.4)
    page = written(f"before\n{BEGIN}old\n{END}after\n", [Note("cli", drawn), Note("cli", drawn)], {"cli": "CLI killed"})
    assert page.startswith(f"before\n{BEGIN}\nThese figures are of 2 draws. `make faults` makes 16 by default.\n")
    assert page.endswith(f"| CLI killed | 2 | 2 | 0 | 2 | 5 |\n| all | 2 | 2 | 0 | 2 | 5 |\n\n{END}after\n")


@pytest.mark.skipif(not clocks_can_move(), reason="there is no C compiler")
def test_the_wall_clock_moves_and_the_monotonic_clock_does_not(tmp_path: Path) -> None:
    clock = MovedClock(tmp_path)
    clock.move(-86_400)
    began, now = time.monotonic(), time.time()
    variables = {**os.environ, **clock.variables}
    done = subprocess.run([sys.executable, "-c", CLOCK], env=variables, capture_output=True, text=True, check=True)
    wall, date, monotonic = map(float, done.stdout.split())
    assert -86_460 < wall - now < -86_340
    assert -86_460 < date - now < -86_340
    assert began <= monotonic <= time.monotonic()
