"""A sealed process tries to get out in every way we know of; one box runs all tries, and each try is one test."""

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
from harness.sandbox.paths import base_interpreter, base_paths
from tests.sandboxes import END_S, bubblewrap, finish, processes_with, python, read_all, request
from tests.security import escape_attempts

REPOSITORY = Path(harness.__file__).parent.parent
TRIES = Path(escape_attempts.__file__)

HELD = {"EPERM", "EACCES", "EROFS", "ENOENT"}
OTHERWISE = {
    "make a file by openat2": {"ENOSYS"},
    "set the setuid bit by fchmodat2": {"ENOSYS"},
    "clone3": {"ENOSYS"},
    "make an io_uring": {"ENOSYS"},
    "replace the workspace": {"EXDEV", "EBUSY", "EROFS"},
    "hard-link a system file": {"EXDEV", "EPERM"},
    "read the memory of PID 1": {"EACCES", "EPERM"},
    "see the host's processes": {"ESRCH"},
    "kill the harness": {"ESRCH"},
    "reach an abstract socket": {"ECONNREFUSED"},
    "reach the cloud's metadata": {"ENETUNREACH"},
    "resolve a name": {"EAI"},
    "send a datagram out": {"ENETUNREACH"},
    "reach ssh": {"ENETUNREACH"},
    "reach out by IPv6": {"ENETUNREACH", "EADDRNOTAVAIL"},
    "reach the host's port": {"ECONNREFUSED"},
    "reach the host's port by IPv6": {"ECONNREFUSED", "EADDRNOTAVAIL"},
    "open vsock": {"EAFNOSUPPORT"},
    "open a packet socket": {"EAFNOSUPPORT"},
    "open an audit socket": {"EAFNOSUPPORT"},
    "open a crypto socket": {"EAFNOSUPPORT"},
    "take the door": {"EADDRINUSE"},
    "take the door everywhere": {"EADDRINUSE"},
}


@contextlib.contextmanager
def shared_memory() -> Iterator[int]:
    """A System V segment of the host's that everyone may read; gives its key."""
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
    """What an escaped process would find outside, each shown to be there."""
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
    (folder / "workspace" / "tries.py").write_bytes(TRIES.read_bytes())
    readable = (folder / "readable", *base_paths())
    with host(folder) as known:
        wanted = request(folder, readable=readable, mounts={"given": folder / "given"}, endpoints=("model",))
        with bubblewrap().open(wanted) as box:
            known |= {"readable": [str(path) for path in readable], "door": int(box.endpoints["model"].url[-5:])}
            tries = [str(base_interpreter()), "-I", "-S", "tries.py"]
            (folder / "home" / "host.json").write_text(json.dumps(known))
            code, output = finish(box, ["sh", "-c", f"exec {' '.join(tries)} \"$(cat ~/host.json)\""])
        assert code == 0, (folder / "stderr").read_text()
        found: dict[str, str] = json.loads(output)
    return found


@pytest.mark.parametrize(
    "attempt", escape_attempts.attempts({"port": 0, "secret": "", "readable": [""], "token": "", "socket": "", "shm": ""})
)
def test_no_way_out(outcomes: dict[str, str], attempt: str) -> None:
    assert outcomes[attempt] in OTHERWISE.get(attempt, HELD)
