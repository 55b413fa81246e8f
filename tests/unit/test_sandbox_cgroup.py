"""Which cgroups a user may make, by what the kernel says, and what a group's files say. Folders stand in for both.

The real groups of this machine are used in tests/security/test_limits.py. These files are as the kernel's documentation
describes them (Documentation/admin-guide/cgroup-v2.rst).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.case import SandboxConf
from harness.endings import ConfError
from harness.sandbox.cgroup import Group, Parents, look, parents, sweep
from harness.sandbox.disk import can_make_disks
from harness.sandbox.factory import make_sandbox, require_limits
from harness.sandbox.keeper import weaker
from tests.support.ordinary_user import as_ordinary_user

BUBBLEWRAP = SandboxConf("bubblewrap", "bubblewrap")


def unified(folder: Path, own: str, enabled: str = "memory pids cpu") -> Path:
    """Make a hierarchy of cgroup v2 as systemd does. Return the folder that stands for /proc/self."""
    tree, proc = folder / "cgroup", folder / "proc"
    for place in (group := tree / own.lstrip("/"), *group.parents):
        place.mkdir(parents=True, exist_ok=True)
        (place / "cgroup.procs").touch()
        (place / "cgroup.subtree_control").write_text("" if place == group else enabled)
        if place == tree:
            break
    proc.mkdir()
    (proc / "cgroup").write_text(f"0::{own}\n")
    (proc / "mountinfo").write_text(
        f"25 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 25 0:26 / {tree} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    return proc


def test_groups_are_made_in_the_nearest_group_above_that_passes_controllers_on(tmp_path: Path) -> None:
    proc = unified(tmp_path, "/user.slice/app.slice/terminal.scope")
    folder = tmp_path / "cgroup/user.slice/app.slice"
    assert look(proc) == Parents({"memory": folder, "pids": folder, "cpu": folder}, unified=True)
    assert not list(folder.glob("box-*")), "the trial is removed"


def test_the_groups_of_killed_processes_are_swept_away(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/true"]) as ended:
        ended.wait()
    for name in (f"box-{ended.pid}-0a", f"box-{os.getpid()}-0b", "someone-else"):
        (tmp_path / name).mkdir()
    sweep(Parents({"pids": tmp_path, "cpu": tmp_path}, unified=True))
    assert {path.name for path in tmp_path.iterdir()} == {f"box-{os.getpid()}-0b", "someone-else"}


def test_a_hierarchy_that_passes_no_controller_on_is_of_no_use(tmp_path: Path) -> None:
    assert look(unified(tmp_path, "/a/b", enabled="pids")).folders == {}


def test_a_group_outside_of_what_is_mounted_is_of_no_use(tmp_path: Path) -> None:
    proc = unified(tmp_path, "/a")
    (proc / "cgroup").write_text("0::/../elsewhere\n")
    assert look(proc).folders == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="the group belongs to this user")
def test_a_group_of_another_user_is_of_no_use(tmp_path: Path) -> None:
    proc = unified(tmp_path, "/a/b")
    assert as_ordinary_user(lambda: look(proc)).folders == {}


def test_the_first_version_has_one_hierarchy_for_each_controller(tmp_path: Path) -> None:
    memory, other = tmp_path / "memory/docker/job", tmp_path / "cpu"
    for place in (memory, other):
        place.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("4:memory:/docker/job\n3:cpu,cpuacct:/\n2:pids:/\n")
    (tmp_path / "mountinfo").write_text(
        f"30 25 0:26 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"31 25 0:27 / {other} rw - cgroup cgroup rw,cpuacct,cpu\n"
    )
    assert look(tmp_path) == Parents({"memory": memory, "cpu": other}, unified=False)


@pytest.mark.parametrize(
    ("events", "ran_out"),
    [("oom 0\noom_kill 0\n", False), ("oom 0\noom_kill 1\n", False), ("oom 2\noom_kill 1\n", True)],
)
def test_a_group_of_version_2(tmp_path: Path, events: str, ran_out: bool) -> None:
    group = Group(Parents({"memory": tmp_path, "pids": tmp_path}, unified=True), memory_bytes=10**6, tasks=7)
    (folder,) = tmp_path.iterdir()
    assert ((folder / "memory.max").read_text(), (folder / "pids.max").read_text()) == ("1000000", "7")
    (folder / "memory.current").write_text("5000\n")
    (folder / "memory.stat").write_text("anon 3000\nfile 1500\nshmem 500\ninactive_file 900\nactive_file 100\n")
    (folder / "memory.events").write_text(f"low 0\nhigh 0\nmax 9\n{events}")
    (folder / "cgroup.procs").write_text("12\n13\n")
    assert (group.memory_bytes(), group.processes(), group.ran_out_of_memory()) == (4000, [12, 13], ran_out)
    group.add(14)
    assert (folder / "cgroup.procs").read_text() == "14"


def test_in_version_1_sockets_have_a_limit_of_their_own_and_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Path.mkdir

    def as_the_kernel_does(folder: Path, **options: bool) -> None:
        made(folder, **options)
        (folder / "memory.kmem.tcp.limit_in_bytes").write_text("9223372036854771712")

    monkeypatch.setattr(Path, "mkdir", as_the_kernel_does)
    group = Group(Parents({"memory": tmp_path}, unified=False), memory_bytes=10**9)
    (folder,) = tmp_path.iterdir()
    assert (folder / "memory.kmem.tcp.limit_in_bytes").read_text() == str(32 << 20)
    (folder / "memory.usage_in_bytes").write_text("5000\n")
    (folder / "memory.kmem.tcp.usage_in_bytes").write_text("700\n")
    assert (group.memory_bytes(), group.bounds_sockets) == (5700, False)


def test_what_is_missing_is_named() -> None:
    folder = Path("/nowhere")
    every = Parents({"memory": folder, "pids": folder, "cpu": folder}, unified=True)
    assert weaker(every, disks=True, root=True) == ()
    assert "memory" in weaker(Parents({}, unified=False), disks=True, root=True)[0]
    assert "disk" in weaker(every, disks=False, root=True)[0]
    assert "uid" in weaker(every, disks=True, root=False)[0]


def test_an_ordinary_user_is_told_and_may_refuse() -> None:
    if as_ordinary_user(lambda: parents().folders):
        pytest.skip("an ordinary user can make cgroups here")
    told = as_ordinary_user(lambda: make_sandbox(BUBBLEWRAP).weaker)
    assert len(told) == 5, told
    with pytest.raises(AssertionError, match=r"--require-limits: sandbox bubblewrap cannot guarantee.*memory"):
        as_ordinary_user(lambda: require_limits(BUBBLEWRAP))


@pytest.mark.skipif(not can_make_disks() or len(parents().folders) < 3, reason="this machine lacks some")
def test_root_has_all_limits_here() -> None:
    require_limits(BUBBLEWRAP)


def test_no_sandbox_has_no_limits() -> None:
    with pytest.raises(ConfError, match="--require-limits: sandbox none cannot guarantee"):
        require_limits(SandboxConf("none", "none"))
