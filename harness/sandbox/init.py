"""PID 1 of a box: opens the endpoints, drops privileges, starts the one command, and reports how it ended.

It runs inside, and needs only the standard library: `python -I -S -E init.py FD`. FD is a SOCK_SEQPACKET socket to the
harness. Each packet is one JSON object.

1. The harness sends the set-up: `ports`, `uid` (or null) and `limits`. The answer is `{"ready": true}`, with the
   listening sockets in the order of the ports.
2. The harness sends `{"argv": …, "environment": …, "directory": …}`, with standard input, output and error as
   descriptors. The answer is `{"started": true}` or `{"error": reason}`.
3. The harness may send `{"terminate": true}`, which has no answer.
4. When the command ends, init sends `{"exited": code}`. The code is negative for a signal.

End of file means that the harness has ended. Init then exits, and the kernel kills everything in the box.
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
    """The control socket to the harness, and the command while it runs."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.command: subprocess.Popen[bytes] | None = None

    def send(self, message: dict[str, Any], listeners: Sequence[socket.socket] = ()) -> None:
        """Send one message, and listening sockets with it."""
        socket.send_fds(self.control, [json.dumps(message).encode()], [each.fileno() for each in listeners])

    def serve(self, woken: int) -> None:
        """Answer requests and collect ended processes until the harness hangs up."""
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
        """Do what a request asks for."""
        if "argv" in request:
            self.start(request, descriptors)
        elif self.command is not None:
            os.kill(self.command.pid, signal.SIGTERM)

    def start(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Start the command, and answer that it started or why it did not."""
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
        """Collect every ended child: the command, and orphans that became children of PID 1."""
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
    """Become `uid`, unless that is `None`. Then set init to die with bwrap, and hide it from processes of its uid.

    Otherwise they could read init's memory and descriptors. A change of uid resets both settings, so it comes first.
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
    """Set soft and hard limits, by their `RLIMIT_…` names, but never above the hard limit that holds now."""
    for name, wanted in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def main() -> None:
    """Set the box up and serve."""
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the kernel gives PID 1 no signal from inside without a handler
    os.umask(0o022)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    init = Init(control)
    setup = json.loads(control.recv(LARGEST_REQUEST))
    listeners = [socket.create_server(("127.0.0.1", port), backlog=128) for port in setup["ports"]]
    drop_privileges(setup["uid"])
    set_limits(setup["limits"])
    init.send({"ready": True}, listeners)
    for listener in listeners:
        listener.close()
    init.serve(woken)


if __name__ == "__main__":
    main()
