"""Runs attempts inside a room. `main` reads what the host tells, and prints the outcome of each attempt as JSON."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .files import FILES
from .kernel import KERNEL
from .limits import LIMITS
from .network import NETWORK
from .proc import PROC
from .rights import RIGHTS
from .trying import Attempts, Impossible, begin

KINDS: dict[str, Attempts] = {
    "Files": FILES,
    "Processes and /proc": PROC,
    "System calls": KERNEL,
    "Rights": RIGHTS,
    "Network and other rooms": NETWORK,
    "Limits": LIMITS,
}
ATTEMPTS: Attempts = {name: one for kind in KINDS.values() for name, one in kind.items()}
"""All attempts, by name."""

_PATIENCE_S = 20


def outcome(attempt: Callable[[], object]) -> str:
    """Return `breached`, `held: ERROR`, `impossible here: WHY`, or `broken: WHY` if the attempt itself is wrong."""
    try:
        attempt()
    except Impossible as why:
        return f"impossible here: {why}"
    except OSError as error:
        return f"held: {errno.errorcode.get(error.errno or 0, str(error))}"
    except BaseException as error:
        return f"broken: {error!r}"
    return "breached"


def apart(attempt: Callable[[], object]) -> str:
    """Return the outcome of an attempt. A process of its own makes it, so that it cannot affect the next one."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.close(readable)
            signal.alarm(_PATIENCE_S)
            os.write(writable, outcome(attempt).encode()[:1000])
        os._exit(0)
    os.close(writable)
    said = b""
    while part := os.read(readable, 1000):
        said += part
    os.close(readable)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGSYS:
        return "held: SIGSYS"
    return said.decode(errors="replace") or f"broken: it ended with {code}"


def outcomes(host: dict[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Make the attempts and return the outcome of each."""
    begin({**host, "init": _init(), "descriptors": _descriptors(host["room"])})
    return {name: apart(ATTEMPTS[name].run) for name in names}


def _init() -> int:
    """Return the pid of the room's init, or the first process that this one sees."""
    pid = os.getppid()
    while pid > 1 and b"/sandbox/init.py" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def _descriptors(room: str) -> list[str]:
    """Return what this process has open and should not. The policy's worker has a connection of its own."""
    found = []
    for number in range(3, 256):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115 - a text, which may be no path
            kind = socket.socket(fileno=os.dup(number)).type if target.startswith("socket:") else None
            if room == "agent" or target.startswith("/") or kind is socket.SOCK_SEQPACKET:
                found.append(target)
    return found


def main() -> None:
    host = json.loads(sys.stdin.read())
    sys.stdout.write(json.dumps(outcomes(host, host["names"])))
