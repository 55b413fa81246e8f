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
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import harness
from harness.endings import CaseFault, Ending
from harness.environments import host as program
from harness.environments.interpreters import INTERPRETERS
from harness.environments.keeping import Keeping, not_kept
from harness.environments.last_words import LastWords
from harness.environments.variables import variables
from harness.imports import PackageMissing
from harness.temporary import temporary_folder

_MOST_IDLE = 2
_LARGEST = 1 << 17
_FORK_S = 30.0
_CLOSE_S = 2.0


class EnvironmentFailed(CaseFault):
    """An environment raised an error, or its process died, froze, or did not start.

    The message names the environment, says what it was doing, and ends with what it said last. `brief` is the part of
    the message that tells nothing of the environment's source: no error of its own, no path, and nothing that it said.
    """

    ending = Ending.ENVIRONMENT_FAILED

    def __init__(self, message: str, brief: str = "the environment failed") -> None:
        super().__init__(message)
        self.brief = brief


class HostSpec(NamedTuple):
    """What a host is started with.

    These are the interpreter, the first entries of its module search path, the import path of the adapter, and a module
    and an engine of KinDER that the adapter will need. `keeping` keeps the host, and each process that it forks, within
    bounds. If it is `apart`, it works in a temporary folder of its own, where libraries may leave files.
    """

    interpreter: str
    path: tuple[str, ...]
    adapter: str
    also: str | None
    engine: str | None = None
    keeping: Keeping = not_kept
    apart: bool = False


class Forked(NamedTuple):
    """A process of a host.

    `pid` is its guardian, and `ward` the process in which the environment will run. The descriptors are the harness's
    ends of its socket and of the pipe that keeps it alive.
    """

    pid: int
    ward: int
    connection: int
    life: int


class ForkingHost:
    """A host. Threads may share it. Making one starts it, and does not wait for it.

    It has `start_s` seconds to import its adapter, and `memory` bytes for that. Raise `ValueError` if its interpreter
    cannot be run.
    """

    def __init__(self, spec: HostSpec, start_s: float, memory: int) -> None:
        self._spec, self._start_s, self._began = spec, start_s, time.monotonic()
        self._turn = threading.RLock()
        self._ended: dict[int, int] = {}
        self._forked: list[tuple[int, int]] = []
        self._is_ready = False
        self.running: set[int] = set()
        self._said = LastWords()
        self._folder = ExitStack()
        self._control, far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        far_life, self._life = os.pipe()
        arguments = (str(far_control.fileno()), str(far_life), str(Path(harness.__file__).parent))
        try:
            self._process = subprocess.Popen(
                [
                    str(Path(spec.interpreter).absolute()) if "/" in spec.interpreter else spec.interpreter,
                    "-s",
                    "-P",
                    "-B",
                    program.__file__,
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._said.writing,
                stderr=self._said.writing,
                env=variables(),
                cwd=self._folder.enter_context(temporary_folder("host")) if spec.apart else None,
                pass_fds=(far_control.fileno(), far_life),
                start_new_session=True,
            )
        except OSError as error:
            self._release()
            raise ValueError(
                f"cannot run the interpreter {spec.interpreter}: {error.strerror}; write the path of a Python, or the "
                f"name of an extra: {', '.join(INTERPRETERS)}"
            ) from error
        finally:
            far_control.close()
            os.close(far_life)
        self._said.close_writing()
        self._kept = spec.keeping(self._process.pid, memory, self._process.terminate)
        with suppress(OSError):  # `ready` tells
            first = {"path": spec.path, "adapter": spec.adapter, "also": spec.also, "engine": spec.engine}
            self._control.send(json.dumps(first).encode())

    def ready(self) -> None:
        """Wait until the host has imported the adapter. If that fails, close the host.

        Raise `PackageMissing`, `ValueError` if the adapter cannot be used, or `EnvironmentFailed`.
        """
        adapter = self._spec.adapter
        with self._turn:
            if self._is_ready:
                return
            try:
                answer = self._receive(self._began + self._start_s)
            except OSError as error:
                late = f"it did not import {adapter} within {self._start_s:g} s"
                how = late if isinstance(error, TimeoutError) else ended(self._process.wait())
                self.close()
                raise EnvironmentFailed(self._said.told(f"the process of {adapter} did not start: {how}")) from error
            if "refused" in answer:
                self.close()
                raise (PackageMissing if answer["missing"] else ValueError)(answer["refused"])
            self._is_ready = True

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
                pid, ward = self._forked.pop()
                self.running.add(pid)
        except OSError:
            near.close()
            os.close(life)
            raise
        finally:
            far.close()
            os.close(far_life)
        return Forked(pid, ward, near.detach(), life)

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
        """Kill the host, and everything that descends from it."""
        os.close(self._life)
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:  # a copy of the descriptor may be open in another process
            self._process.kill()
            self._process.wait()
        self._kept.close()
        self._release(life=False)

    def _pump(self, deadline: float, done: Callable[[], bool]) -> None:
        """Read what the host says until `done`, or until the deadline."""
        while not done():
            try:
                said = self._receive(deadline)
            except TimeoutError:
                return
            if "forked" in said:
                self._forked.append((said["forked"], said["ward"]))
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
        self._folder.close()
        if life:
            os.close(self._life)


_hosts: dict[HostSpec, ForkingHost] = {}
_choosing = threading.RLock()


def begin(spec: HostSpec, start_s: float, memory: int) -> ForkingHost:
    """Return the host for a specification, which may still be importing. Start it if it does not run.

    Raise `ValueError` if its interpreter cannot be run.
    """
    with _choosing:
        if spec not in _hosts:
            for other in [other for other, idle in _hosts.items() if not idle.running][: -_MOST_IDLE or None]:
                forget(other)
            _hosts[spec] = ForkingHost(spec, start_s, memory)
        return _hosts[spec]


def host_of(spec: HostSpec, start_s: float, memory: int) -> ForkingHost:
    """Return the host for a specification, once it has imported the adapter. Start it if it does not run.

    Raise what `ForkingHost` and `ForkingHost.ready` raise.
    """
    host = begin(spec, start_s, memory)
    try:
        host.ready()
    except Exception:
        with _choosing:
            if _hosts.get(spec) is host:
                del _hosts[spec]
        raise
    return host


def forget(spec: HostSpec) -> None:
    """Kill a host. The next one of its specification is a new one."""
    with _choosing:
        gone = _hosts.pop(spec, None)
        if gone is not None:
            gone.close()


@atexit.register
def close_hosts() -> None:
    """Kill every host of this process, and with them the processes of open environments."""
    for spec in list(_hosts):
        forget(spec)


def ended(code: int | None, process: str = "its process") -> str:
    """Return in words how a process ended."""
    if code is None:
        return f"{process} ended"
    known = {int(number): number.name for number in signal.Signals}
    how = f"exit code {code}" if code >= 0 else f"killed by {known.get(-code, f'signal {-code}')}"
    return f"{process} ended ({how})"
