"""No sandbox: a plain subprocess in its own session, for debugging on a machine that you can afford to lose."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from harness.case import SandboxConf
from harness.sandbox.base import BoxRequest, Death, Endpoint, Interpreter, Resources, SandboxError
from harness.sandbox.monitor import BoxMonitor
from harness.sandbox.options import NoOptions, options_of
from harness.sandbox.paths import host_python
from harness.sandbox.process import Pipes, complete, open_stderr, search_path


class NoSandbox:
    """Seals nothing. The command sees the host's files, network and processes. The limits of `conf` do not apply."""

    name = "none"
    seals = False

    def __init__(self, conf: SandboxConf) -> None:
        options_of(NoOptions, conf)

    @property
    def version(self) -> str:
        """See `Sandbox.version`."""
        return self.name

    @property
    def python(self) -> Interpreter:
        """See `Sandbox.python`."""
        return host_python()

    @property
    def weaker(self) -> tuple[str, ...]:
        """See `Sandbox.weaker`."""
        return ("no limit of the sandbox holds: it seals nothing",)

    def open(self, request: BoxRequest) -> NoBox:
        """Return a box whose endpoints are free loopback ports of the host. Raise `SandboxError`."""
        for directory in (request.workspace, request.home):
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SandboxError(f"cannot make {directory}: {error}\ncheck its place and permissions") from error
        return NoBox(request)


class NoBox:
    """A box that is not sealed; see `harness.sandbox.base.Box`."""

    def __init__(self, request: BoxRequest) -> None:
        self.workspace = str(request.workspace)
        self.home = str(request.home)
        self.mounts: Mapping[str, str] = {name: str(path) for name, path in request.mounts.items()}
        self.endpoints: Mapping[str, Endpoint] = {name: _listen() for name in request.endpoints}
        self._folders, self._closed = (request.workspace, request.home), request.closed
        self._stderr = open_stderr(request.stderr)
        self._pipes = Pipes()
        self.stdin, self.stdout = self._pipes.stdin, self._pipes.stdout
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: BoxMonitor | None = None
        self._death: Death | None = None

    def exec(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """See `Box.exec`."""
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=self._pipes.far_stdin,
                stdout=self._pipes.far_stdout,
                stderr=self._stderr,
                cwd=self.workspace,
                env=complete(environment, self.home, search_path()),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise SandboxError(f"cannot start {argv[0]!r}: {error}\ncheck that the program exists") from error
        self._monitor = BoxMonitor(self._process.pid, self._folders)
        self._pipes.close_far()

    def terminate(self) -> None:
        """See `Box.terminate`."""
        if self._process is not None:
            self._process.terminate()

    def poll(self) -> int | None:
        """See `Box.poll`."""
        return None if self._process is None else self._process.poll()

    def wait(self, timeout: float) -> int | None:
        """See `Box.wait`."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        return self.poll()

    def resources(self) -> Resources:
        """See `Box.resources`. Nothing is measured before `exec`."""
        return Resources() if self._monitor is None else self._monitor.measure(time.monotonic())

    def outside(self) -> Path:
        """See `Box.outside`."""
        return self._folders[0]

    def leaks(self) -> list[str]:
        """See `Box.leaks`."""
        return ["nothing is sealed"]

    def close(self) -> Death:
        """Kill the command's process group and its descendants. A process that has left both (a daemon) lives on."""
        if self._death is None:
            start = time.monotonic()
            if self._process is not None:
                _kill_tree(self._process)
            exit_code = -signal.SIGKILL if self._process is None else self._process.wait()
            self._pipes.close()
            os.close(self._stderr)
            for endpoint in self.endpoints.values():
                endpoint.listener.close()
            self._death = Death(exit_code, time.monotonic() - start)
            self._closed()
        return self._death

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _listen() -> Endpoint:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    return Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", listener)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    try:
        tree = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        tree = []
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for descendant in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            descendant.kill()
    psutil.wait_procs(tree, timeout=10)
