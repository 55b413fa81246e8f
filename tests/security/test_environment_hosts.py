"""Nothing that an environment starts outlives its process, and all of it together keeps within its limits."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness import hosting
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.environments.keeping import Keeping, not_kept
from harness.imports import make_importable
from harness.sandbox import cgroup
from harness.sandbox.cgroup import Parents
from tests.support import survivors
from tests.support.processes import gone
from tests.support.project import ROOT

Made = Callable[[str, Keeping], HostedEnvironment]
KEPT = pytest.mark.parametrize("keeping", [hosting.keep, not_kept], ids=["kept", "not_kept"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root folder of a project with the module `survivors`."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "survivors.py").write_bytes(Path(survivors.__file__).read_bytes())
    before = list(sys.path)
    make_importable(folder)
    yield folder
    sys.path[:] = before


def conf(how: str, pids: Path, memory_mb: int = 1024) -> EnvironmentConf:
    return EnvironmentConf(
        "mine", "survivors:Survivor", {"how": how, "pids": str(pids)}, 20, memory_mb=memory_mb, call_s=20.0
    )


def noted(pids: Path, least: int = 1) -> list[int]:
    """Return the pids in the file, once there are enough of them."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        if pids.exists() and len(found := [int(pid) for pid in pids.read_text().split(" ")[:-1]]) >= least:
            return found
        time.sleep(0.01)
    raise AssertionError(f"there are not {least} processes")


@pytest.mark.skipif(not cgroup.parents().folders, reason="this user can make no cgroup")
def test_an_environment_that_nobody_closes_leaves_no_cgroup() -> None:
    places = cgroup.parents().folders.values()

    def groups() -> set[Path]:
        return {path for place in places for path in place.glob(f"box-{os.getpid()}-*")}

    room = EnvironmentConf("room", "maze", {"min_size": 3, "max_size": 5}, max_steps=20)
    make_environment(room, hosting.keep).close()  # its host stays
    before = groups()
    environment = make_environment(room, hosting.keep)
    environment.reset(0)
    assert groups() > before
    del environment
    gc.collect()
    assert groups() == before


@KEPT
@pytest.mark.parametrize(("how", "least"), [("session", 1), ("orphan", 1), ("bomb", 100)])
def test_nothing_outlives_an_environment_that_is_closed(
    root: Path, tmp_path: Path, keeping: Keeping, how: str, least: int
) -> None:
    with closing(make_environment(conf(how, tmp_path / "pids"), keeping)) as environment:
        environment.reset(0)
        started = noted(tmp_path / "pids", least)
    assert gone(started, within=10.0)
    assert gone([int(pid) for pid in (tmp_path / "pids").read_text().split()], within=10.0)


HARNESS = """
import pathlib, sys
from harness import hosting
from harness.environments.factory import make_environment
from harness.imports import make_importable
from tests.security.test_environment_hosts import conf
make_importable(pathlib.Path(sys.argv[1]))
environment = make_environment(conf(sys.argv[2], pathlib.Path(sys.argv[3])), hosting.keep)
environment.reset(0)
print("started", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["session", "orphan"])
def test_nothing_outlives_a_harness_that_is_killed(root: Path, tmp_path: Path, how: str) -> None:
    command = [sys.executable, "-c", HARNESS, str(root), how, str(tmp_path / "pids")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"started\n"
        started = noted(tmp_path / "pids")
        harness.send_signal(signal.SIGKILL)
    assert gone(started, within=10.0)


@pytest.mark.parametrize("cgroups", [True, False], ids=["cgroups", "measured"])
def test_all_its_processes_together_keep_within_its_memory(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroups: bool
) -> None:
    if not cgroups:
        monkeypatch.setattr(cgroup, "_looked_up", lambda _uid: Parents({}, unified=False))
    elif "memory" not in cgroup.parents().folders:
        pytest.skip("this user can make no memory cgroup")
    with closing(make_environment(conf("memory", tmp_path / "pids", memory_mb=300), hosting.keep)) as environment:
        with pytest.raises(EnvironmentFailed, match=r"ended .* during reset\(\): it used more than 300 MB"):
            environment.reset(0)
        assert gone(noted(tmp_path / "pids"), within=10.0)


def test_its_processes_die_before_the_harness_and_the_guardian(root: Path, tmp_path: Path) -> None:
    with closing(make_environment(conf("session", tmp_path / "pids"), hosting.keep)) as environment:
        environment.reset(0)
        [pid] = noted(tmp_path / "pids")
        scores = []
        while pid != os.getpid():
            scores.append(int(Path(f"/proc/{pid}/oom_score_adj").read_text()))
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert scores[0] == 1000
    assert scores == sorted(scores, reverse=True)
    assert Path("/proc/self/oom_score_adj").read_text() < str(min(scores))
