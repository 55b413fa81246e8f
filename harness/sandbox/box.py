"""A sealed box, after its init answers: bubblewrap or a container engine has made its namespaces."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.sandbox.base import BoxRequest, Death, Endpoint, Resources, SandboxError
from harness.sandbox.disk import Disk
from harness.sandbox.filesystem import HOME, IN_MEMORY, WORKSPACE, mount_point
from harness.sandbox.keeper import Keeper
from harness.sandbox.launched import START_S, Launched
from harness.sandbox.process import Pipes, complete, open_stderr
from harness.sandbox.transfer import Transfer, replace_contents
from harness.sandbox.uids import UidLease

_LARGEST_REPLY = 1 << 16
_DEATH_S = 60.0
FIRST_PORT = 18080


class SealedBox:
    """See `harness.sandbox.base.Box`. `pid` is the host's id of init, the first process of the box."""

    def __init__(
        self,
        request: BoxRequest,
        room: Launched,
        *,
        uid: UidLease | None,
        disk: Disk | None = None,
        limits: Mapping[str, int],
        path: Sequence[str],
    ) -> None:
        """Let init open the endpoints and set `limits`. `uid` is the lease of the box's uid. Raise `SandboxError`.

        The box gives the uid and the disk up when it is closed. If this raises, it gives up the disk only.
        """
        self.workspace, self.home = WORKSPACE, HOME
        self.mounts: Mapping[str, str] = {name: mount_point(name) for name in request.mounts}
        self.pid = room.pid
        self._room, self._path, self._uid, self._disk = room, tuple(path), uid, disk
        self._folders = {"workspace": request.workspace, "home": request.home}
        self._filled, self._kept_after, self._closed = False, request.kept, request.closed
        self._exit_code: int | None = None
        self._death: Death | None = None
        self._started = False
        ports = range(FIRST_PORT, FIRST_PORT + len(request.endpoints))
        room.control.settimeout(START_S)
        with contextlib.ExitStack() as undo:
            if disk is not None:
                undo.callback(disk.close)
            try:
                self._pidfd = os.pidfd_open(room.pid)
                undo.callback(os.close, self._pidfd)
                self._keeper = self._kept(request)
                undo.callback(self._keeper.close)
                undo.callback(self._kill)
                listeners = self._set_up(ports, limits)
                undo.callback(_close_all, listeners)
                self._stderr = open_stderr(request.stderr)
            except OSError as error:
                raise room.fail(error) from error
            undo.pop_all()
        self.endpoints: Mapping[str, Endpoint] = {
            name: Endpoint(f"http://127.0.0.1:{port}", listener)
            for name, port, listener in zip(request.endpoints, ports, listeners, strict=True)
        }
        self._keeper.watch()
        self._pipes = Pipes()
        self.stdin, self.stdout = self._pipes.stdin, self._pipes.stdout

    def exec(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """See `Box.exec`. A box takes one command."""
        if self._started:
            raise SandboxError("this box has already run its command\nopen another box for the next one")
        variables = [f"{name}={value}" for name, value in complete(environment, self.home, self._path).items()]
        if any("\0" in text for text in (*argv, *variables)):
            raise SandboxError(
                f"cannot start {argv[0]!r}: a null byte in an argument or a variable\npass such text by standard input"
            )
        self._fill()
        files = [self._pipes.far_stdin, self._pipes.far_stdout, self._stderr]
        try:
            self._send("run", self.workspace, str(len(argv)), *argv, *variables, files=files)
            word, *reasons = self._receive()
        except OSError as error:
            advice = "pass long texts by standard input" if error.errno == errno.EMSGSIZE else "see the kernel's log"
            raise SandboxError(f"cannot start {argv[0]!r}: {error}\n{advice}") from error
        if word == "error":
            raise SandboxError(
                f"cannot start {argv[0]!r} in the sandbox: {reasons[0]}\n"
                "check that the program exists and that the request names its path as readable"
            )
        self._started = True
        self._pipes.close_far()

    def terminate(self) -> None:
        """See `Box.terminate`."""
        if self._death is None:
            with contextlib.suppress(OSError):  # init has ended, and so has the command
                self._send("terminate")

    def poll(self) -> int | None:
        """See `Box.poll`."""
        return self.wait(0)

    def wait(self, timeout: float) -> int | None:
        """See `Box.wait`."""
        if self._exit_code is None and self._started and self._death is None:
            readable, _, _ = select.select([self._room.control], [], [], timeout)
            if readable:
                self._exit_code = self._read_exit_code()
        return self._exit_code

    def outside(self) -> Path:
        """See `Box.outside`."""
        live = self._disk is not None and self._filled and self._death is None
        return self._disk.folder("workspace") if self._disk is not None and live else self._folders["workspace"]

    def resources(self) -> Resources:
        """See `Box.resources`. The figures include the box's init."""
        return self._keeper.resources()

    def leaks(self) -> list[str]:
        """See `Box.leaks`. Outside the box, no process may have root's uid, whatever its uid inside."""
        try:
            status = Path("/proc", str(self.pid), "status").read_text()
        except OSError as error:
            raise SandboxError(f"the box's init has ended: {error}\nsee the kernel's log") from error
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        return ["its processes are the host's root"] if "0" in uids else []

    def close(self) -> Death:
        """See `Box.close`. Kill init. The kernel then kills every process inside before init itself ends."""
        if self._death is None:
            self._keeper.measure_at_last()
            start = time.monotonic()
            self._kill()
            gone, _, _ = select.select([self._pidfd], [], [], _DEATH_S)
            seconds = time.monotonic() - start
            if not gone:
                raise SandboxError(
                    f"processes of the box outlived SIGKILL for {_DEATH_S:.0f} s\nlook at process {self.pid}"
                )
            self._room.wait()
            exit_code = self.poll()
            self._death = Death(-signal.SIGKILL if exit_code is None else exit_code, seconds)
            try:
                self._keep()
            finally:
                self._release()
                self._closed()
        return self._death

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _kept(self, request: BoxRequest) -> Keeper:
        """Return the keeper of the box's bounds. Init waits for its set-up, so nothing has started yet."""
        return Keeper(
            self.pid,
            request.bounds,
            kill=self._kill,
            folders=(request.workspace, request.home),
            memory_folders=IN_MEMORY,
            disk=self._disk,
            grouped=self._room.grouped,
        )

    def _fill(self) -> None:
        """Copy what the host has put into the box's folders to its disk."""
        if self._disk is None or self._uid is None or self._filled:
            return
        self._filled = True
        try:
            for name, folder in self._folders.items():
                Transfer(folder, self._disk.folder(name), self._uid.uid, self._disk.size)
        except OSError as error:
            raise SandboxError(f"cannot fill the box's file system: {error}\ncheck {folder}") from error

    def _keep(self) -> None:
        """Copy what the box leaves on its disk to the host's folders."""
        if self._disk is None or self._uid is None or not (self._filled and self._kept_after):
            return
        try:
            for name, folder in self._folders.items():
                left_out = replace_contents(folder, self._disk.folder(name), self._uid.uid, self._disk.size)
                if left_out:
                    told = f"proctor: {left_out} entries of {name} were not kept: special, too deep, or too many\n"
                    os.write(self._stderr, told.encode())
        except OSError as error:
            raise SandboxError(f"cannot keep what the box left: {error}\ncheck {folder}") from error

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _set_up(self, ports: Sequence[int], limits: Mapping[str, int]) -> list[socket.socket]:
        """Send the set-up and return the listening sockets, one for each port."""
        uid = self._room.uid
        self._receive()  # it is up, and so is its file system
        if self._disk is not None:
            self._disk.show(self._pidfd)
        wanted = (f"{name}={value}" for name, value in limits.items())
        self._send("setup", "" if uid is None else str(uid), " ".join(map(str, ports)), " ".join(wanted))
        packet, descriptors, _, _ = socket.recv_fds(
            self._room.control, _LARGEST_REPLY, len(ports), socket.MSG_CMSG_CLOEXEC
        )
        if not packet:
            raise ConnectionResetError("its init ended early")
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def _send(self, *texts: str, files: Sequence[int] = ()) -> None:
        """Send init a packet, as `harness/sandbox/init.py` describes it."""
        socket.send_fds(self._room.control, [os.fsencode("\0".join(texts))], files)

    def _receive(self) -> list[str]:
        packet = self._room.control.recv(_LARGEST_REPLY)
        if not packet:
            raise ConnectionResetError("the sandbox's init is gone")
        return os.fsdecode(packet).split("\0")

    def _read_exit_code(self) -> int:
        try:
            return int(self._receive()[1])
        except OSError:  # init was killed, and so was the command
            return -signal.SIGKILL

    def _release(self) -> None:
        self._keeper.close()
        if self._disk is not None:
            self._disk.close()
        if self._uid is not None:
            self._uid.release()
        self._pipes.close()
        self._room.control.close()
        self._room.log.close()
        self._room.removed()
        for descriptor in (self._stderr, self._pidfd):
            os.close(descriptor)
        _close_all(endpoint.listener for endpoint in self.endpoints.values())


def _close_all(listeners: Iterable[socket.socket]) -> None:
    for listener in listeners:
        listener.close()
