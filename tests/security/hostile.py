"""An environment that attacks the harness. `tests.security.environment_escapes` writes this file to a project.

Its argument `act` names what it does when it is reset. An act that succeeds writes "done" to the file `report`.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.environments.maze import Maze

MB = 1 << 20
TAKEN_MB = 700
TASKS = 1100


class Hostile(Maze):
    """See above. `token` is in the command line of each process that it starts."""

    def __init__(self, max_steps: int, act: str, report: str, token: str) -> None:
        super().__init__(3, 5, max_steps)
        self._act, self._report, self._token = act, report, token

    def reset(self, seed: int) -> Any:
        """See `Environment.reset`. Only seed 0 attacks."""
        observation, _ = super().reset(seed)
        return observation, ACTS[self._act](self._report, self._token) if seed == 0 else {}


class Trap:
    """An object that runs code when it is read as a pickle."""

    def __init__(self, report: str) -> None:
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return _done, (self.report,)


def _done(report: str) -> dict[str, Any]:
    Path(report).write_text("done")
    return {}


def take(report: str, _token: str) -> dict[str, Any]:
    """Take memory."""
    kept = bytearray(TAKEN_MB * MB)
    kept[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(range(0, len(kept), os.sysconf("SC_PAGE_SIZE")))
    return _done(report)


def take_by_children(report: str, _token: str) -> dict[str, Any]:
    """Take memory by processes that each take little."""
    readable, writable = os.pipe()
    children = []
    for _ in range(TAKEN_MB // 100):
        if (child := os.fork()) == 0:
            kept = b"x" * (100 * MB)
            os.write(writable, kept[:1])
            time.sleep(60)
            os._exit(0)
        children.append(child)
    os.close(writable)
    taken = b""
    while len(taken) < len(children) and (part := os.read(readable, 1)):
        taken += part
    alive = [os.waitpid(child, os.WNOHANG)[0] == 0 for child in children]
    for child in children:
        os.kill(child, signal.SIGKILL)
    return _done(report) if all(alive) and len(taken) == len(children) else {}


def _fill(file: int, report: str) -> dict[str, Any]:
    part = b"x" * MB
    for _ in range(TAKEN_MB):
        os.write(file, part)
    return _done(report)


def take_memory_file(report: str, _token: str) -> dict[str, Any]:
    return _fill(os.memfd_create("x"), report)


def take_shared_memory(report: str, token: str) -> dict[str, Any]:
    place = Path("/dev/shm", token)  # noqa: S108 - the name is random
    file = os.open(place, os.O_CREAT | os.O_RDWR)
    place.unlink()
    return _fill(file, report)


def start_many(report: str, _token: str) -> dict[str, Any]:
    """Start many threads, each of which is a task of the kernel."""
    threading.stack_size(1 << 16)
    stop = threading.Event()
    try:
        for _ in range(TASKS):
            threading.Thread(target=stop.wait, daemon=True).start()
        time.sleep(1)
        _done(report)
    finally:
        stop.set()
    return {}


def find_secret(report: str, _token: str) -> dict[str, Any]:
    """Look for a variable of the harness."""
    return _done(report) if "proctor-escape-value" in os.environ.values() else {}


def _leave(report: str, token: str, *, twice: bool = False, deaf: bool = False) -> dict[str, Any]:
    """Start a process that is to live on."""
    if os.fork() == 0:
        if deaf:
            for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
                signal.signal(number, signal.SIG_IGN)
        os.setsid()
        if twice and os.fork() != 0:
            os._exit(0)
        os.chdir("/")
        os.closerange(0, 1000)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", token])  # noqa: S606
    time.sleep(0.3)
    return _done(report)


def group(report: str, token: str) -> dict[str, Any]:
    """Start a process in a group of its own."""
    if os.fork() == 0:
        os.setpgid(0, 0)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", token])  # noqa: S606
    time.sleep(0.3)
    return _done(report)


def freeze(_report: str, _token: str) -> dict[str, Any]:
    """Stay in C with the lock of the interpreter held."""
    re.match("(a+)+$", "a" * 60 + "b")
    return {}


def sleep(_report: str, _token: str) -> dict[str, Any]:
    time.sleep(3600)
    return {}


def flood(_report: str, _token: str) -> dict[str, Any]:
    for _ in range(600):
        sys.stdout.write("x" * 150_000)
        sys.stderr.write("y" * 100_000)
    sys.stdout.flush()
    return {}


def huge(_report: str, _token: str) -> dict[str, Any]:
    return {"huge": "x" * 200_000_000}


def deep(_report: str, _token: str) -> dict[str, Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return {"deep": value}


def trap(report: str, _token: str) -> dict[str, Any]:
    return {"trap": Trap(report)}


def crash(_report: str, _token: str) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def leave_at_once(_report: str, _token: str) -> dict[str, Any]:
    os._exit(3)


def interrupt(_report: str, _token: str) -> dict[str, Any]:
    raise KeyboardInterrupt


def kill_parent(_report: str, _token: str) -> dict[str, Any]:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.3)
    return {}


def kill_group(_report: str, _token: str) -> dict[str, Any]:
    os.killpg(0, signal.SIGKILL)
    return {}


ACTS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "take": take,
    "take by children": take_by_children,
    "take a memory file": take_memory_file,
    "take shared memory": take_shared_memory,
    "start many": start_many,
    "find a secret": find_secret,
    "leave the session": _leave,
    "leave twice": lambda report, token: _leave(report, token, twice=True),
    "leave and be deaf": lambda report, token: _leave(report, token, twice=True, deaf=True),
    "leave the group": group,
    "freeze": freeze,
    "sleep": sleep,
    "flood": flood,
    "huge": huge,
    "deep": deep,
    "trap": trap,
    "crash": crash,
    "exit": leave_at_once,
    "interrupt": interrupt,
    "kill the parent": kill_parent,
    "kill the group": kill_group,
}
"""What it can do, by name."""
