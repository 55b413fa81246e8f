"""The host of environments, a program of its own: `host.py CONTROL LIFE HARNESS`.

It runs in the environment's interpreter, which needs NumPy and the environment's packages, and none of Proctor's other
packages. It imports an adapter once. Then it forks a process for each environment that is asked for, so that the next
one starts in milliseconds. CONTROL is a SOCK_SEQPACKET socket to the harness. Each packet is a JSON object:

- First comes `{"path": […], "adapter": "module:Class", "also": MODULE or null, "engine": ENGINE or null}`. The answer
  is `{"ready": true}`, or `{"refused": TEXT, "missing": whether a package is missing}`.
- `{"fork": BYTES OF MEMORY}` comes with the descriptors LIFE, SOCKET, ERRORS and others. The answer is
  `{"forked": PID, "ward": PID}`: the guardian, and the process that it guards, in which the environment runs.
- `{"abort": PID}` has no answer. PID is a guardian.

When a guardian has ended, the harness gets `{"ended": PID, "code": CODE}`, at any time. The code is that of its ward,
negative for a signal. The ward serves the environment on SOCKET (`harness.environments.serving`) and writes its output
to ERRORS.

LIFE is the reading end of a pipe. When the harness closes the other end or dies, this process ends with everything that
descends from it (`harness.environments.guardian`). Each forked process has a LIFE of its own.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import os
import random
import resource
import select
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LARGEST = 1 << 17
_MOST_DESCRIPTORS = 8
_FIRST_VICTIM = 900
"""The score with which the kernel ends this process before the harness when memory runs out."""


class ForkServer:
    """The process that forks one process for each environment."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}  # descriptors of processes, to their pids

    def serve(self) -> None:
        """Answer requests until the harness hangs up."""
        while True:
            ready, _, _ = select.select([self._control.fileno(), *self._children], [], [])
            for descriptor in self._children.keys() & set(ready):
                self._bury(descriptor)
            if self._control.fileno() in ready:
                packet, descriptors, _, _ = socket.recv_fds(self._control, _LARGEST, _MOST_DESCRIPTORS)
                if not packet:
                    return
                self._answer(json.loads(packet), descriptors)

    def _answer(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if "abort" in request:
            if request["abort"] in self._children.values():
                os.kill(request["abort"], signal.SIGABRT)
            return
        state = random.getstate()
        reading, told = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(reading)
            self._become(state, told, request["fork"], *descriptors)
        for descriptor in (*descriptors, told):
            os.close(descriptor)
        self._children[os.pidfd_open(pid)] = pid
        with os.fdopen(reading, "rb") as guardian:
            ward = guardian.read()
        send(self._control, {"forked": pid, "ward": int(ward or 0)})

    def _become(
        self, state: Any, told: int, memory: int, life: int, connection: int, errors: int, *others: int
    ) -> None:
        """Turn this process, which was forked, into the guardian of an environment's process. Never return.

        `state` is that of `random`, which Python has replaced in the fork.
        """
        code = 1
        try:
            self._control.close()
            for descriptor in self._children:
                os.close(descriptor)
            importlib.import_module("harness.environments.guardian").guard(life, told)
            random.setstate(state)
            for descriptor in (life, told):
                os.close(descriptor)
            os.setpgid(0, 0)
            os.dup2(errors, 1)
            os.dup2(errors, 2)
            os.close(errors)
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
            faulthandler.enable()
            importlib.import_module("harness.environments.serving").serve(socket.socket(fileno=connection), others)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _bury(self, descriptor: int) -> None:
        pid = self._children.pop(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        send(self._control, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def send(control: socket.socket, message: dict[str, Any]) -> None:
    """Send the harness a packet."""
    control.send(json.dumps(message).encode())


def find_harness(folder: str) -> None:
    """Make the package `harness` in this folder importable, and none of the packages beside it."""
    init = Path(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location("harness", init, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise ImportError(f"{init} is not a Python file")
    sys.modules["harness"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def prepare(path: Sequence[str], adapter: str, also: str | None, engine: str | None) -> dict[str, Any]:
    """Import the adapter, and the module `also` if it can be imported. Check the engine. Return the answer."""
    sys.path[:] = list(dict.fromkeys([*path, *sys.path]))
    try:
        for module in ("harness.environments.serving", "harness.environments.engines"):
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = f"{sys.executable} lacks {error.name}, which the host of environments needs"
        return {"refused": f"{missing}: {sys.executable} -m pip install {error.name}", "missing": True}
    making, drawing = sys.modules["harness.environments.making"], sys.modules["harness.environments.drawing"]
    drawing.choose_renderer()
    try:
        making.adapter_class(adapter)
        if engine is not None:
            sys.modules["harness.environments.engines"].require_engine(engine)
        if also is not None:
            importlib.import_module(also)
    except ValueError as error:
        return {"refused": str(error), "missing": type(error).__name__ == "PackageMissing"}
    except Exception as error:  # making the environment tells it better
        print(f"{also}: {type(error).__name__}: {error}", file=sys.stderr)
    return {"ready": True}


def main(control: str, life: str, folder: str) -> None:
    """Prepare, and serve. No process is started before the first packet comes."""
    Path("/proc/self/oom_score_adj").write_text(str(_FIRST_VICTIM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=int(control))
    packet = connection.recv(_LARGEST)
    if not packet:
        return
    find_harness(folder)
    importlib.import_module("harness.environments.guardian").guard(int(life))
    os.close(int(life))
    faulthandler.enable()
    request = json.loads(packet)
    send(connection, prepare(**request))
    ForkServer(connection).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
