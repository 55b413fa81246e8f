"""A sealed process takes more memory or disk than it may have. It is stopped, and the limit is what stopped it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.agent.watchdog import Snapshot, spent
from harness.case import Limits
from harness.endings import Ending
from harness.environments.maze import Maze
from harness.evaluation.policy import PolicyHost
from harness.evaluation.policy_link import PolicyError
from harness.sandbox.base import BoundedSandbox, Bounds, Box, Resources
from harness.sandbox.cgroup import Parents, parents
from harness.sandbox.disk import can_make_disks
from harness.sandbox.held import descendants
from tests.security import limit_attacks
from tests.support.fakes import FakeTraffic
from tests.support.sandboxes import PYTHON, bubblewrap, finish, python, request

ATTACKS = Path(limit_attacks.__file__)
MEMORY_MB, DISK_MB = 150, 8
LIMITS = Limits(memory_mb=MEMORY_MB, disk_mb=DISK_MB)
TOLERANCE = 1.3
"""How far above a limit the use of a box may ever be."""

kernel_keeps_memory = pytest.mark.skipif("memory" not in parents().folders, reason="no memory cgroup can be made here")
kernel_keeps_disk = pytest.mark.skipif(not can_make_disks(), reason="no file system can be made for a box here")


def ending(used: Resources) -> Ending | None:
    stop = spent(LIMITS, FakeTraffic(), Snapshot(now=0, began=0, last_output=0, resources=used))
    return None if stop is None else stop.ending


def watch(box: Box, seconds: float = 20.0) -> Iterator[Resources]:
    """Yield what the box uses until its command ends."""
    deadline = time.monotonic() + seconds
    while box.wait(0.02) is None and time.monotonic() < deadline:
        yield box.resources()


def attack(folder: Path, name: str, megabytes: int) -> tuple[Ending | None, list[Resources]]:
    """Run an attack in a box. Return the ending that the driver of a session gives it, and what was seen of it."""
    bounds = Bounds.of(LIMITS)
    with bubblewrap().open(request(folder, readable=(*PYTHON.readable, ATTACKS), bounds=bounds)) as box:
        box.exec([PYTHON.inside, "-I", "-S", str(ATTACKS), name, str(megabytes)], {})
        assert box.stdout.readline() == b"begun\n"
        seen: list[Resources] = []
        for used in watch(box):
            seen.append(used)
            if ending(used):
                break
    seen.append(box.resources())
    return next(filter(None, map(ending, seen)), None), seen


@kernel_keeps_memory
@pytest.mark.parametrize("name", limit_attacks.MEMORY)
def test_no_memory_is_out_of_sight(tmp_path: Path, name: str) -> None:
    ended, seen = attack(tmp_path, name, 400)
    assert max(used.memory_bytes for used in seen) <= MEMORY_MB * 1e6 * TOLERANCE
    assert ended is Ending.MEMORY_LIMIT or (name == "shared segments" and "shmget" in _errors(tmp_path))


@kernel_keeps_memory
@pytest.mark.parametrize("name", limit_attacks.OF_THE_KERNEL)
def test_what_the_kernel_holds_for_a_box_is_bounded(tmp_path: Path, name: str) -> None:
    ended, seen = attack(tmp_path, name, 400)
    assert max(used.memory_bytes for used in seen) <= MEMORY_MB * 1e6 * TOLERANCE
    assert ended is Ending.MEMORY_LIMIT or name == "udp sockets", "packets of UDP are dropped instead"


@kernel_keeps_memory
def test_sockets_that_the_kernel_does_not_count_end_a_box_although_nobody_looks(tmp_path: Path) -> None:
    bounds = Bounds.of(LIMITS)
    with bubblewrap().open(request(tmp_path, readable=(*PYTHON.readable, ATTACKS), bounds=bounds)) as box:
        assert finish(box, [PYTHON.inside, "-I", "-S", str(ATTACKS), "tcp sockets", "400"])[0] == -signal.SIGKILL
        box.close()
        assert ending(box.resources()) is Ending.MEMORY_LIMIT, "the reason is still known"


@kernel_keeps_disk
@pytest.mark.parametrize("name", limit_attacks.DISK)
def test_no_file_is_out_of_sight(tmp_path: Path, name: str) -> None:
    ended, seen = attack(tmp_path, name, 40)
    assert ended is Ending.DISK_LIMIT, (seen[-1], _errors(tmp_path))
    assert max(used.disk_bytes for used in seen) <= DISK_MB * 1e6 * TOLERANCE


def _errors(folder: Path) -> str:
    return (folder / "stderr").read_text()


@pytest.mark.parametrize(
    "name", ["memory files", "mapped memory files", "temporary folders", "many processes", "page tables"]
)
def test_memory_is_measured_where_the_kernel_cannot_keep_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _nothing_kept_by_the_kernel(monkeypatch)
    assert attack(tmp_path, name, 1000)[0] is Ending.MEMORY_LIMIT


@pytest.mark.parametrize(
    "name", ["unlinked files", "mapped unlinked files", "closed folders", "moving folders", "reserved space"]
)
def test_the_disk_is_measured_where_the_kernel_cannot_keep_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _nothing_kept_by_the_kernel(monkeypatch)
    assert attack(tmp_path, name, 1000)[0] is Ending.DISK_LIMIT


def test_one_process_cannot_allocate_more_than_the_limit_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _nothing_kept_by_the_kernel(monkeypatch)
    with bubblewrap().open(request(tmp_path, bounds=Bounds(memory_bytes=10**8))) as box:
        assert finish(box, python("bytearray(2 * 10**8)"))[0] == 1
    assert "MemoryError" in _errors(tmp_path)


def test_who_takes_too_much_is_killed_although_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _nothing_kept_by_the_kernel(monkeypatch)
    bounds = Bounds.of(LIMITS)
    with bubblewrap().open(request(tmp_path, readable=(*PYTHON.readable, ATTACKS), bounds=bounds)) as box:
        assert finish(box, [PYTHON.inside, "-I", "-S", str(ATTACKS), "memory files", "1000"])[0] == -signal.SIGKILL
        box.close()
        assert ending(box.resources()) is Ending.MEMORY_LIMIT, "the reason is still known"


def _nothing_kept_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything as for an ordinary user who can make no cgroup."""
    monkeypatch.setattr("harness.sandbox.keeper.parents", lambda: Parents({}, unified=False))
    monkeypatch.setattr("harness.sandbox.bubblewrap.parents", lambda: Parents({}, unified=False))
    monkeypatch.setattr("harness.sandbox.bubblewrap.can_make_disks", lambda: False)


@kernel_keeps_memory
def test_a_policy_has_the_limits_of_its_case(tmp_path: Path) -> None:
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission/approach.py").write_text(
        "class GeneratedApproach:\n"
        "    def __init__(self, action_space, observation_space, primitives=None):\n        pass\n"
        "    def reset(self, state, info):\n        pass\n"
        "    def get_action(self, state):\n        bytearray(10**9)\n"
    )
    sandbox = BoundedSandbox(bubblewrap(), Bounds(memory_bytes=3 * 10**8))
    maze = Maze(3, 5, 10)
    state, info = maze.reset(0)
    said = r"killed by SIGKILL\): it used more than the 300 MB of memory that limits\.memory_mb allows"
    with PolicyHost(sandbox, tmp_path / "submission", tmp_path, maze.spaces()) as policy:
        policy.reset(state, info)
        with pytest.raises(PolicyError, match=said):
            policy.act(state)


def test_the_kernel_kills_processes_of_a_box_before_any_other(tmp_path: Path) -> None:
    with bubblewrap().open(request(tmp_path)) as box:
        assert finish(box, ["cat", "/proc/self/oom_score_adj"]) == (0, "1000\n")


@pytest.mark.skipif("cpu" not in parents().folders, reason="no cpu cgroup can be made here")
def test_a_box_with_many_sessions_has_the_cpu_weight_of_one(tmp_path: Path) -> None:
    with bubblewrap().open(request(tmp_path)) as box:
        box.exec(["sh", "-c", "setsid sleep 100 & setsid sleep 100 & echo up; wait"], {})
        assert box.stdout.readline() == b"up\n"
        groups = {Path(f"/proc/{pid}/cgroup").read_text() for pid in descendants(box.pid)}
    (group,) = groups
    assert group != Path("/proc/self/cgroup").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has one uid")
def test_two_boxes_share_no_uid(tmp_path: Path) -> None:
    with bubblewrap().open(request(tmp_path / "a")) as one, bubblewrap().open(request(tmp_path / "b")) as other:
        assert finish(one, ["id", "-u"])[1] != finish(other, ["id", "-u"])[1]


@kernel_keeps_disk
def test_nothing_is_left_of_the_file_system_of_a_killed_harness(tmp_path: Path) -> None:
    opens = (
        "import sys, time; from pathlib import Path; from harness.sandbox.base import Bounds;"
        "from tests.support.sandboxes import bubblewrap, request;"
        "box = bubblewrap().open(request(Path(sys.argv[1]), bounds=Bounds(disk_bytes=10**7)));"
        "box.exec(['sleep', '1000'], {}); print('up', flush=True); time.sleep(1000)"
    )
    run = subprocess.Popen([sys.executable, "-c", opens, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert run.stdout is not None
    with run.stdout:
        assert run.stdout.readline() == b"up\n"
        assert any(_images(tmp_path))
        run.kill()
        run.wait()
    deadline = time.monotonic() + 10
    while any(_images(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(_images(tmp_path)) == []


def _images(folder: Path) -> Iterator[str]:
    """Yield the images in a folder that loop devices use."""
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if str(folder) in (name := file.read_text()):
                yield name
