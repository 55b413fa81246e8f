"""A sealed process tries to escape in every way we know. One box runs all attempts."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import harness
from tests.security.escapes import Outcomes, sealed
from tests.security.inside.run import KINDS
from tests.security.known import BREACHES
from tests.security.outside import scene
from tests.support.sandboxes import END_S, bubblewrap, finish, processes_with, python, request

REPOSITORY = Path(harness.__file__).parent.parent


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    with scene(tmp_path_factory.mktemp("escapes")) as place:
        return sealed(place, "agent")


@pytest.mark.parametrize("kind", KINDS)
def test_no_attempt_escapes(outcomes: Outcomes, kind: str) -> None:
    user = "root" if os.geteuid() == 0 else "user"
    expected = {name for name in KINDS[kind] if ("agent", user) in BREACHES.get(name, {})}
    found = {name: outcomes[name] for name in KINDS[kind] if not outcomes[name].startswith(("held", "impossible"))}
    assert found == dict.fromkeys(expected, "breached")


STUBBORN = """
import os, signal, sys, time
for number in set(range(1, 32)) - {9, 17, 19}:
    signal.signal(number, signal.SIG_IGN)
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            print("x", end="", flush=True)
            while True:
                time.sleep(1000)
        os._exit(0)
for _ in range(3):
    daemon()
while True:
    time.sleep(1000)
"""


def test_a_hidden_tree_that_ignores_signals_is_dead_after_close(tmp_path: Path) -> None:
    token = f"token-{secrets.token_hex(8)}"
    with bubblewrap().open(request(tmp_path)) as box:
        box.exec(python(STUBBORN, token), {})
        assert b"".join(box.stdout.read(1) for _ in range(3)) == b"xxx"
        assert len(processes_with(token)) >= 4
        box.terminate()
        assert box.wait(0.05) is None
        box.close()
        assert processes_with(token) == []


BOMB = """
import os, sys
while True:
    try:
        os.fork()
    except OSError:
        os.write(1, b"x")
"""


def test_a_fork_bomb_meets_its_limit_and_dies(tmp_path: Path) -> None:
    token = f"token-{secrets.token_hex(8)}"
    with bubblewrap(max_processes=40).open(request(tmp_path)) as box:
        box.exec(python(BOMB, token), {})
        assert box.stdout.read(1) == b"x"
        assert 1 < len(processes_with(token)) <= 40
        assert box.close().seconds < END_S
    assert processes_with(token) == []


@pytest.mark.parametrize(
    "command",
    [
        "head -c 3M /dev/zero > /tmp/big",
        "head -c 3M /dev/zero > /dev/shm/big",
        "head -c 3M /dev/zero > big",
        "ulimit -n 4096",
        "ulimit -c unlimited",
    ],
)
def test_a_limit_holds(tmp_path: Path, command: str) -> None:
    with bubblewrap(tmp_mb=2, max_file_mb=2, max_open_files=64).open(request(tmp_path)) as box:
        assert finish(box, ["sh", "-c", command])[0] != 0
    assert (tmp_path / "stderr").read_text() or not (tmp_path / "workspace" / "big").stat().st_size > 2 << 20


HARNESS = """
import sys
from pathlib import Path
from tests.support.sandboxes import bubblewrap, python, request
box = bubblewrap().open(request(Path(sys.argv[1]), endpoints=("model",)))
box.exec(python(sys.argv[2], sys.argv[3]), {})
print(box.pid, box.stdout.read(1).decode(), flush=True)
sys.stdin.read()
"""


def test_a_harness_that_is_killed_leaves_no_process_and_no_mount(tmp_path: Path) -> None:
    token = f"token-{secrets.token_hex(8)}"
    mounts = Path("/proc/self/mountinfo").read_text()
    doomed = [sys.executable, "-c", HARNESS, str(tmp_path), STUBBORN, token]
    with subprocess.Popen(doomed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as dying:
        assert dying.stdout
        init, up = dying.stdout.readline().split()
        assert up == b"x"
        inside = [process for process in processes_with(token) if process.pid != dying.pid]
        assert inside
        everyone = [psutil.Process(int(init)), *psutil.Process(dying.pid).children(recursive=True), *inside]
        os.kill(dying.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(everyone, timeout=END_S)
    assert alive == []
    assert processes_with(token) == []
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_the_sealed_processes_are_not_root_outside(tmp_path: Path) -> None:
    with bubblewrap().open(request(tmp_path)) as box:
        box.exec(["sh", "-c", "echo up; exec sleep 1000"], {})
        assert box.stdout.read(3) == b"up\n"
        uids = {
            uid
            for process in (box.pid, *(child.pid for child in psutil.Process(box.pid).children()))
            for uid in psutil.Process(process).uids()
        }
        assert len(uids) == 1
        assert 0 not in uids
        written = box.close()
    assert written.exit_code == -signal.SIGKILL


def test_a_box_cannot_see_into_another(tmp_path: Path) -> None:
    with (
        bubblewrap().open(request(tmp_path / "one", endpoints=("model",))) as one,
        bubblewrap().open(request(tmp_path / "two")) as two,
    ):
        connect = f"import socket; socket.create_connection(('127.0.0.1', {one.endpoints['model'].url[-5:]}), 5)"
        assert finish(two, python(connect))[0] == 1
        assert "ConnectionRefusedError" in (tmp_path / "two" / "stderr").read_text()
