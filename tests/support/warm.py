"""Runs pytest in a forked process, which starts in a third of the time of a new Python.

A process of its own imports Proctor and the packages that it depends on. It forks for each session of pytest. A test of
what a session loads, of the order in which it does, or of `sitecustomize`, needs a new Python:
`Project.pytest_in_new_python`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from _pytest.config import default_plugins

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "PIL.Image",
    "execnet",
    "httpx2",
    "hydra",
    "hydra.core.override_parser.overrides_parser",
    "jinja2.meta",
    "jinja2.sandbox",
    "mcp.server.mcpserver",
    "msgspec",
    "numpy.random",
    "omegaconf",
    "psutil",
    "starlette.applications",
    "starlette.requests",
    "starlette.responses",
    "starlette.routing",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
)
"""What Proctor imports of other projects in a session with cases, apart from pytest itself.

xdist is not one of them: when it is imported, it copies the module search path for its workers.
"""

OURS: Final = (
    "backends.claude.adapter",
    "backends.codex.adapter",
    "backends.direct.adapter",
    "backends.opencode.adapter",
    "backends.pi.adapter",
    "harness.evaluation.submission",
    "harness.expected",
    "harness.fixtures",
    "harness.live.view",
    "harness.models.scripted",
    "harness.pipeline",
    "harness.plugin",
    "harness.recorder",
    "harness.resuming",
    "harness.rounds",
    "harness.run",
    "harness.schedule.machine",
    "harness.session_page",
    "harness.session_verdict",
    "harness.untrusted.archive",
    "harness.untrusted.rooms",
    "harness.until_decided",
)
"""What a session with cases loads of Proctor itself, apart from the scheduler, which imports xdist."""

_OPTIONS: Final = "-W 'ignore:Module already imported:pytest.PytestAssertRewriteWarning'"
"""pytest cannot rewrite the assertions in a package that is imported already. No test needs that."""


_START: Final = dict(os.environ)
"""The variables of the process that forks, apart from `PYTHONPATH`."""


def run(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `python [-P] -m pytest ...` to its end.

    If `env` changes a variable that only a new Python reads, such as `PYTHONIOENCODING`, a new Python runs it.
    """
    if _of_python(env) != _of_python(_START):
        return run_in_new_python(command, cwd, env)
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        order = json.dumps([command, str(cwd), dict(env)]).encode()
        server = _server()
        try:
            socket.send_fds(server, [len(order).to_bytes(4)], [stdout.fileno(), stderr.fileno()])
            server.sendall(order)
            status = int.from_bytes(_received(server, 4))
        except BaseException:
            _server.cache_clear()  # it may still wait for this session
            raise
        texts = [_text(file.fileno()) for file in (stdout, stderr)]
    return subprocess.CompletedProcess(list(command), os.waitstatus_to_exitcode(status), *texts)


def run_in_new_python(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `python [-P] -m pytest ...` to its end in a Python that has loaded nothing yet."""
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def _of_python(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith("PYTHON") and name != "PYTHONPATH"}


@cache
def _server() -> socket.socket:
    """Start the process that forks, and return the connection to it. It ends at the end of the connection."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.warm", str(theirs.fileno())],
            env=_START | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError("the process that forks for sessions of pytest has ended")
        data += chunk
    return data


def _text(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    with open(file, closefd=False, encoding="utf-8") as reader:
        return reader.read()


def _serve(connection: socket.socket) -> None:
    """Fork for each order, and return in the forked process. End at the end of the connection."""
    while True:
        size, files, _flags, _address = socket.recv_fds(connection, 4, 2)
        if not size:
            os._exit(0)
        command, cwd, env = json.loads(_received(connection, int.from_bytes(size)))
        child = os.fork()
        if child == 0:
            connection.close()
            _become(command, files, cwd, env)
            return
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        connection.sendall(status.to_bytes(4))


def _become(command: Sequence[str], files: Sequence[int], cwd: str, env: Mapping[str, str]) -> None:
    """Give this process what it would have if `command` had been started with these files, folder and variables."""
    for target, file in enumerate(files, 1):
        os.dup2(file, target)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env, PYTEST_ADDOPTS=_OPTIONS)
    module = command.index("-m")
    sys.argv[1:] = command[module + 2 :]
    sys.path.remove(str(ROOT))
    sys.path[:0] = [*([] if "-P" in command[:module] else [cwd]), *env["PYTHONPATH"].split(os.pathsep)]


def _main() -> None:
    """Serve the process at the other end of the socket that the argument names."""
    for name in (*(f"_pytest.{plugin}" for plugin in default_plugins), *PACKAGES, *OURS):
        importlib.import_module(name)
    gc.freeze()  # a collection would copy the memory that forked processes share
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
