"""A box sealed by bubblewrap, once its init answers."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from harness.sandbox.base import BoxRequest, Death, Endpoint, SandboxError
from harness.sandbox.filesystem import HOME, WORKSPACE, mount_point
from harness.sandbox.launch import START_S, Launched
from harness.sandbox.process import Pipes, complete, open_stderr

_LARGEST_REPLY = 1 << 16
_DEATH_S = 60.0
FIRST_PORT = 18080


class BubblewrapBox:
    """See `harness.sandbox.base.Box`. `pid` is the host's pid of the namespace's init (to measure its memory)."""

    def __init__(
        self, request: BoxRequest, room: Launched, *, uid: int | None, limits: Mapping[str, int], path: Sequence[str]
    ) -> None:
        """Tell init what to open and to become; `uid` none: it is unprivileged already. Raises `SandboxError`."""
        self.workspace, self.home = WORKSPACE, HOME
        self.mounts: Mapping[str, str] = {name: mount_point(name) for name in request.mounts}
        self.pid = room.pid
        self._room, self._path = room, tuple(path)
        self._exit_code: int | None = None
        self._death: Death | None = None
        self._started = False
        ports = range(FIRST_PORT, FIRST_PORT + len(request.endpoints))
        room.control.settimeout(START_S)
        with contextlib.ExitStack() as undo:
            try:
                self._pidfd = os.pidfd_open(room.pid)
                undo.callback(os.close, self._pidfd)
                listeners = self._set_up({"ports": list(ports), "uid": uid, "limits": dict(limits)})
                undo.callback(_close_all, listeners)
                self._stderr = open_stderr(request.stderr)
            except OSError as error:
                raise room.fail(error) from error
            undo.pop_all()
        self.endpoints: Mapping[str, Endpoint] = {
            name: Endpoint(f"http://127.0.0.1:{port}", listener)
            for name, port, listener in zip(request.endpoints, ports, listeners, strict=True)
        }
        self._pipes = Pipes()
        self.stdin, self.stdout = self._pipes.stdin, self._pipes.stdout

    def exec(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the command. Raises `SandboxError` when it cannot be started, saying why."""
        if self._started:
            raise SandboxError("the box has run its command\nopen another box for another command")
        command = {
            "argv": list(argv),
            "environment": complete(environment, self.home, self._path),
            "directory": self.workspace,
        }
        files = [self._pipes.far_stdin, self._pipes.far_stdout, self._stderr]
        try:
            socket.send_fds(self._room.control, [json.dumps(command).encode()], files)
            reply = self._receive()
        except OSError as error:
            advice = "pass long texts by standard input" if error.errno == errno.EMSGSIZE else "see the kernel's log"
            raise SandboxError(f"cannot start {argv[0]!r}: {error}\n{advice}") from error
        if "error" in reply:
            raise SandboxError(
                f"cannot start {argv[0]!r} in the sandbox: {reply['error']}\n"
                "check that the program exists and that its path is among the readable ones"
            )
        self._started = True
        self._pipes.close_far()

    def terminate(self) -> None:
        """Have init send SIGTERM to the command."""
        if self._death is None:
            with contextlib.suppress(OSError):  # init is gone, and the command with it
                self._room.control.send(b'{"terminate": true}')

    def poll(self) -> int | None:
        """The command's exit code (negative: the signal), or none while it runs."""
        return self.wait(0)

    def wait(self, timeout: float) -> int | None:
        """As `poll`, after waiting for the command for at most `timeout` seconds."""
        if self._exit_code is None and self._started and self._death is None:
            readable, _, _ = select.select([self._room.control], [], [], timeout)
            if readable:
                self._exit_code = self._read_exit_code()
        return self._exit_code

    def close(self) -> Death:
        """Kill the namespace's init: the kernel then kills every process inside before init counts as gone."""
        if self._death is None:
            start = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            gone, _, _ = select.select([self._pidfd], [], [], _DEATH_S)
            seconds = time.monotonic() - start
            if not gone:
                raise SandboxError(
                    f"processes of the box outlived SIGKILL for {_DEATH_S:.0f} s\nlook at pid {self.pid}"
                )
            self._room.bwrap.wait()
            exit_code = self.poll()
            self._release()
            self._death = Death(-signal.SIGKILL if exit_code is None else exit_code, seconds)
        return self._death

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _set_up(self, setup: Mapping[str, Any]) -> list[socket.socket]:
        """The listening sockets, one a port."""
        control = self._room.control
        control.send(json.dumps(setup).encode())
        packet, descriptors, _, _ = socket.recv_fds(
            control, _LARGEST_REPLY, len(setup["ports"]), socket.MSG_CMSG_CLOEXEC
        )
        if not packet:
            raise ConnectionResetError("its init ended early")
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def _receive(self) -> dict[str, Any]:
        packet = self._room.control.recv(_LARGEST_REPLY)
        if not packet:
            raise ConnectionResetError("the sandbox's init is gone")
        reply: dict[str, Any] = json.loads(packet)
        return reply

    def _read_exit_code(self) -> int:
        try:
            return int(self._receive()["exited"])
        except OSError:  # init was killed, and the command with it
            return -signal.SIGKILL

    def _release(self) -> None:
        self._pipes.close()
        self._room.control.close()
        self._room.log.close()
        for descriptor in (self._stderr, self._pidfd):
            os.close(descriptor)
        _close_all(endpoint.listener for endpoint in self.endpoints.values())


def _close_all(listeners: Iterable[socket.socket]) -> None:
    for listener in listeners:
        listener.close()
