"""A sealed process tries to escape in every way we know. One box runs all attempts; each attempt is one test."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import harness
from tests.security import escape_attempts
from tests.support.sandboxes import END_S, PYTHON, bubblewrap, finish, processes_with, python, request

REPOSITORY = Path(harness.__file__).parent.parent
ATTEMPTS_FILE = Path(escape_attempts.__file__)

HELD = {"EPERM", "EACCES", "EROFS", "ENOENT"}
OTHERWISE = {
    "make a file by openat2": {"ENOSYS"},
    "set the setuid bit by fchmodat2": {"ENOSYS"},
    "clone3": {"ENOSYS"},
    "make an io_uring": {"ENOSYS"},
    "lease a file of the host": {"EINVAL"},
    "be told what others read": {"EINVAL"},
    "replace the workspace": {"EXDEV", "EBUSY", "EROFS"},
    "hard-link a system file": {"EXDEV", "EPERM"},
    "read the memory of PID 1": {"EACCES", "EPERM"},
    "see the host's processes": {"ESRCH"},
    "become root": {"EPERM", "EINVAL"},  # a uid that the user namespace does not map is invalid
    "become another group": {"EPERM", "EINVAL"},
    "kill the harness": {"ESRCH"},
    "reach an abstract socket": {"ECONNREFUSED"},
    "reach the cloud's metadata": {"ENETUNREACH"},
    "resolve a name": {"EAI"},
    "send a datagram out": {"ENETUNREACH"},
    "reach ssh": {"ENETUNREACH"},
    "reach out by IPv6": {"ENETUNREACH", "EADDRNOTAVAIL"},
    "reach the host's port": {"ECONNREFUSED"},
    "reach the host's port by IPv6": {"ECONNREFUSED", "EADDRNOTAVAIL"},
    "reach shared memory": {"ENOSYS"},
    "change an interface": {"ENOTTY"},
    "open vsock": {"EAFNOSUPPORT"},
    "open a raw socket": {"EPROTONOSUPPORT"},
    "open a multipath socket": {"EPROTONOSUPPORT"},
    "open a UDP-Lite socket": {"EPROTONOSUPPORT"},
    "open a routing socket": {"EAFNOSUPPORT"},
    "make secret memory": {"ENOSYS"},
    "make a message queue": {"ENOSYS"},
    "make detached shared memory": {"ENOSYS"},
    "open a packet socket": {"EAFNOSUPPORT"},
    "open an audit socket": {"EAFNOSUPPORT"},
    "open a crypto socket": {"EAFNOSUPPORT"},
    "take the endpoint": {"EADDRINUSE"},
    "take the endpoint everywhere": {"EADDRINUSE"},
}


@contextlib.contextmanager
def shared_memory() -> Iterator[int]:
    """Create a System V segment on the host that everyone may read. Yield its key."""
    libc = ctypes.CDLL(None, use_errno=True)
    key = secrets.randbits(30) + 1
    identifier = libc.shmget(key, 4096, 0o1666)
    assert identifier >= 0, os.strerror(ctypes.get_errno())
    try:
        yield key
    finally:
        libc.shmctl(identifier, 0, None)


@contextlib.contextmanager
def host(folder: Path) -> Iterator[dict[str, object]]:
    """Set up what an escaped process could find outside. Yield its places."""
    token = f"token-{secrets.token_hex(8)}"
    secret, in_memory = folder / "secret", Path("/dev/shm", token)  # noqa: S108 - the name is random
    with contextlib.ExitStack() as stack:
        for file in (secret, in_memory):
            file.write_text("secret")
            file.chmod(0o644)
            stack.callback(file.unlink)
        port = stack.enter_context(socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        for address in (f"\0{token}", str(folder / "socket")):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen()
        os.environ["TOKEN_OF_THE_HOST"] = token
        stack.callback(os.environ.pop, "TOKEN_OF_THE_HOST")
        yield {
            "token": token,
            "secret": str(secret),
            "shm": str(in_memory),
            "shm_key": stack.enter_context(shared_memory()),
            "port": port.getsockname()[1],
            "socket": str(folder / "socket"),
            "pid": os.getpid(),
        }


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("escapes")
    for name in ("given", "readable", "workspace"):
        (folder / name).mkdir()
    (folder / "workspace" / "tries.py").write_bytes(ATTEMPTS_FILE.read_bytes())
    readable = (folder / "readable", *PYTHON.readable)
    with host(folder) as known:
        wanted = request(folder, readable=readable, mounts={"given": folder / "given"}, endpoints=("model",))
        with bubblewrap().open(wanted) as box:
            known |= {"readable": [str(path) for path in readable], "endpoint": int(box.endpoints["model"].url[-5:])}
            (folder / "home" / "host.json").write_text(json.dumps(known))
            code, output = finish(box, [PYTHON.inside, "-I", "-S", "tries.py", f"{box.home}/host.json"])
        assert code == 0, (folder / "stderr").read_text()
        found: dict[str, str] = json.loads(output)
    return found


@pytest.mark.parametrize("attempt", escape_attempts.ATTEMPTS)
def test_no_attempt_escapes(outcomes: dict[str, str], attempt: str) -> None:
    assert outcomes[attempt] in OTHERWISE.get(attempt, HELD)


def test_every_exception_names_an_attempt() -> None:
    assert set(OTHERWISE) <= set(escape_attempts.ATTEMPTS)


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
