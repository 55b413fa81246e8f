"""The processes that environments run in, as the harness sees them. `harness.environments.host` is the program.

A host imports an adapter once, and forks a process for each environment. All of them end with this process, however it
ends.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import harness
from harness.endings import CaseFault, Ending
from harness.environments import host as program
from harness.environments.last_words import LastWords
from harness.imports import PackageMissing

_MOST_IDLE = 2
_LARGEST = 1 << 17
_FORK_S = 30.0
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PROCTOR_SEED")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class EnvironmentFailed(CaseFault):
    """An environment raised an error, or its process died, froze, or did not start.

    The message names the environment, says what it was doing, and ends with what it said last.
    """

    ending = Ending.ENVIRONMENT_FAILED


class HostSpec(NamedTuple):
    """What a host is started with.

    These are the interpreter, the first entries of its module search path, the import path of the adapter, and a module
    that the adapter will need.
    """

    interpreter: str
    path: tuple[str, ...]
    adapter: str
    also: str | None


class Forked(NamedTuple):
    """A process of a host: its pid, and the harness's ends of its socket and of the pipe that keeps it alive."""

    pid: int
    connection: int
    life: int


class ForkingHost:
    """A running host. Threads may share it."""

    def __init__(self, spec: HostSpec, start_s: float) -> None:
        """Start a host. Raise `PackageMissing`, `ValueError` if its adapter cannot be used, or `EnvironmentFailed`."""
        self._turn = threading.RLock()
        self._ended: dict[int, int] = {}
        self._forked: list[int] = []
        self.running: set[int] = set()
        self._said = LastWords()
        self._control, far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        far_life, self._life = os.pipe()
        arguments = (str(far_control.fileno()), str(far_life), str(Path(harness.__file__).parent))
        try:
            self._process = subprocess.Popen(
                [spec.interpreter, "-s", "-P", "-B", program.__file__, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._said.writing,
                stderr=self._said.writing,
                env=variables(),
                pass_fds=(far_control.fileno(), far_life),
                start_new_session=True,
            )
        except OSError as error:
            self._release()
            raise ValueError(f"cannot run the interpreter {spec.interpreter}: {error.strerror}") from error
        finally:
            far_control.close()
            os.close(far_life)
        self._said.close_writing()
        self._prepare(spec, start_s)

    def _prepare(self, spec: HostSpec, start_s: float) -> None:
        request = {"path": spec.path, "adapter": spec.adapter, "also": spec.also}
        try:
            self._control.send(json.dumps(request).encode())
            answer = self._receive(time.monotonic() + start_s)
        except OSError as error:
            late = f"it did not import {spec.adapter} within {start_s:g} s" if isinstance(error, TimeoutError) else None
            code = None if late else self._process.wait()
            self.close()
            raise EnvironmentFailed(
                self._said.told(f"the process of {spec.adapter} did not start: {late or ended(code)}")
            ) from error
        if "refused" in answer:
            self.close()
            raise (PackageMissing if answer["missing"] else ValueError)(answer["refused"])

    def fork(self, memory: int, errors: int, others: Sequence[int]) -> Forked:
        """Return a new process, which has the adapter imported. Raise `OSError` if the host is gone or hangs.

        It may use `memory` bytes, writes to the descriptor `errors`, and is given the descriptors `others`.
        """
        near, far = socket.socketpair()
        far_life, life = os.pipe()
        try:
            with self._turn:
                packet = json.dumps({"fork": memory}).encode()
                socket.send_fds(self._control, [packet], [far_life, far.fileno(), errors, *others])
                self._pump(time.monotonic() + _FORK_S, lambda: bool(self._forked))
                if not self._forked:
                    raise TimeoutError("the host does not answer")
                pid = self._forked.pop()
                self.running.add(pid)
        except OSError:
            near.close()
            os.close(life)
            raise
        finally:
            far.close()
            os.close(far_life)
        return Forked(pid, near.detach(), life)

    def abort(self, pid: int) -> None:
        """Let a process say where it is, and die."""
        with self._turn:
            self._control.send(json.dumps({"abort": pid}).encode())

    def wait(self, pid: int, seconds: float) -> int | None:
        """Wait for a process to end. Return its exit code, negative for a signal, or `None` if it is not known."""
        with self._turn:
            if pid in self.running or pid in self._ended:
                try:
                    self._pump(time.monotonic() + seconds, lambda: pid in self._ended)
                except OSError:
                    self.running.discard(pid)
            return self._ended.pop(pid, None)

    def close(self) -> None:
        """Kill the host. The processes that it forked live on."""
        os.close(self._life)
        self._process.kill()  # a copy of the descriptor may be open in another process
        self._process.wait()
        self._release(life=False)

    def _pump(self, deadline: float, done: Callable[[], bool]) -> None:
        """Read what the host says until `done`, or until the deadline."""
        while not done():
            try:
                said = self._receive(deadline)
            except TimeoutError:
                return
            if "forked" in said:
                self._forked.append(said["forked"])
            else:
                self._ended[said["ended"]] = said["code"]
                self.running.discard(said["ended"])

    def _receive(self, deadline: float) -> dict[str, Any]:
        """Return the next packet. Raise `TimeoutError`, or `ConnectionError` if the host is gone."""
        while True:
            control, said = self._control.fileno(), self._said.fileno()
            ready, _, _ = select.select([control, said], [], [], max(0.0, deadline - time.monotonic()))
            if said in ready and not self._said.read() and control not in ready:
                raise ConnectionResetError("the host is gone")
            if control in ready:
                packet = self._control.recv(_LARGEST)
                if not packet:
                    raise ConnectionResetError("the host is gone")
                answer: dict[str, Any] = json.loads(packet)
                return answer
            if not ready:
                raise TimeoutError

    def _release(self, *, life: bool = True) -> None:
        self._control.close()
        self._said.close()
        if life:
            os.close(self._life)


_hosts: dict[HostSpec, ForkingHost] = {}
_choosing = threading.RLock()


def host_of(spec: HostSpec, start_s: float) -> ForkingHost:
    """Return the host for a specification. Start it if it does not run. Raise what `ForkingHost` raises."""
    with _choosing:
        if spec not in _hosts:
            for other in [other for other, idle in _hosts.items() if not idle.running][: -_MOST_IDLE or None]:
                forget(other)
            _hosts[spec] = ForkingHost(spec, start_s)
        return _hosts[spec]


def forget(spec: HostSpec) -> None:
    """Kill a host. The next one of its specification is a new one."""
    with _choosing:
        gone = _hosts.pop(spec, None)
        if gone is not None:
            gone.close()


@atexit.register
def close_hosts() -> None:
    """Kill every host of this process. The processes of open environments live on until these are closed."""
    for spec in list(_hosts):
        forget(spec)


def variables() -> dict[str, str]:
    """Return the variables of a host: those of this process without secrets, and one thread for each library."""
    kept = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in _SECRETS)}
    return {**dict.fromkeys(_THREADS, "1"), **kept, "PYTHONHASHSEED": "0"}


def ended(code: int | None, process: str = "its process") -> str:
    """Return in words how a process ended."""
    if code is None:
        return f"{process} ended"
    known = {int(number): number.name for number in signal.Signals}
    how = f"exit code {code}" if code >= 0 else f"killed by {known.get(-code, f'signal {-code}')}"
    return f"{process} ended ({how})"
