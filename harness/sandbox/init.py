"""PID 1 of a box: opens the doors, drops privileges, starts the one command, reaps, reports its end.

Runs inside, on the standard library alone: `python -I -S -E init.py FD`, where FD is a SOCK_SEQPACKET socket to the
harness. One JSON object a packet. First comes the set-up (`ports`, `uid` or null, `limits`), answered by
`{"ready": true}` with the listening sockets in the order of the ports. Then come requests:
`{"argv": …, "environment": …, "directory": …}` with standard input, output and error as descriptors, answered by
`{"started": true}` or `{"error": reason}`, and `{"terminate": true}`, not answered. When the command ends:
`{"exited": code}`, negative for a signal. End of file means that the harness is gone; then so is everything here.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

LARGEST_REQUEST = 1 << 20
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4


class Init:
    """The command, if it runs, and the line to the harness."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.command: subprocess.Popen[bytes] | None = None

    def send(self, message: dict[str, Any], doors: Sequence[socket.socket] = ()) -> None:
        """Send one message, with listening sockets."""
        socket.send_fds(self.control, [json.dumps(message).encode()], [door.fileno() for door in doors])

    def serve(self, woken: int) -> None:
        """Answer requests and reap until the harness hangs up."""
        while True:
            readable, _, _ = select.select([self.control.fileno(), woken], [], [])
            if woken in readable:
                os.read(woken, 4096)
                self.reap()
            if self.control.fileno() in readable:
                packet, descriptors, _, _ = socket.recv_fds(self.control, LARGEST_REQUEST, 3, socket.MSG_CMSG_CLOEXEC)
                if not packet:
                    return
                self.answer(json.loads(packet), descriptors)

    def answer(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Do what one request asks."""
        if "argv" in request:
            self.start(request, descriptors)
        elif self.command is not None:
            os.kill(self.command.pid, signal.SIGTERM)

    def start(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Start the command, and say so or why not."""
        try:
            self.command = subprocess.Popen(
                request["argv"],
                env=request["environment"],
                cwd=request["directory"],
                stdin=descriptors[0],
                stdout=descriptors[1],
                stderr=descriptors[2],
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self.send({"error": str(error)})
        else:
            self.send({"started": True})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def reap(self) -> None:
        """Collect all that ended: the command and whatever orphans came to PID 1."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.command is not None and pid == self.command.pid:
                self.command.returncode = os.waitstatus_to_exitcode(status)
                self.send({"exited": self.command.returncode})
                self.command = None


def drop_privileges(uid: int | None) -> None:
    """Become `uid`, if given; then die with bwrap, and hide memory and descriptors from processes of the same uid.

    A change of uid resets both, so they come after it.
    """
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_PDEATHSIG, signal.SIGKILL), (PR_SET_DUMPABLE, 0)):
        if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def set_limits(limits: dict[str, int]) -> None:
    """Set soft and hard limits (`RLIMIT_…` names), never above what is allowed now."""
    for name, wanted in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def main() -> None:
    """Set the room up and serve."""
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a handler of its own PID 1 cannot be signalled from inside
    os.umask(0o022)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    init = Init(control)
    setup = json.loads(control.recv(LARGEST_REQUEST))
    doors = [socket.create_server(("127.0.0.1", port), backlog=128) for port in setup["ports"]]
    drop_privileges(setup["uid"])
    set_limits(setup["limits"])
    init.send({"ready": True}, doors)
    for door in doors:
        door.close()
    init.serve(woken)


if __name__ == "__main__":
    main()
