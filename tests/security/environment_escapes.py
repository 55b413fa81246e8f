"""Attempts of an environment on the harness: what its process takes, leaves behind and answers.

An environment is trusted code of the host, so it has no room: what it must not do is to freeze, fill, flood or end
pytest. The positive control makes the same attempt in a plain process without an environment's host.
"""

from __future__ import annotations

import json
import os
import pickle
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from harness import hosting
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed, close_hosts
from harness.imports import make_importable
from tests.security import hostile
from tests.support.sandboxes import processes_with

FROZEN = {"freeze", "sleep"}
FROZEN_S, PATIENCE_S = 6.0, 30.0
"""When a call is frozen, and how long a control may take that ends by itself."""
LARGE = 60_000_000
"""Bytes by which an attempt may not make the harness grow."""
_VARIABLE = "DATABASE_URL"


class Tried(NamedTuple):
    """What came of an attempt.

    `done` says whether the attempt reported success, `seconds` how long the call took, `grown` by how many bytes the
    harness grew, `left` how many processes lived on, and `usable` whether the harness could go on.
    """

    done: bool
    seconds: float
    grown: int
    left: int
    usable: bool


class EnvironmentAttempt(NamedTuple):
    """An act of `tests.security.hostile`, when it is a breach, and what its control is in words."""

    act: str
    breached: Callable[[Tried], bool]
    control: str = "a plain process"


_ENDS = "a process without a host dies"
ENVIRONMENT: dict[str, EnvironmentAttempt] = {
    "take too much memory": EnvironmentAttempt("take", lambda tried: tried.done),
    "take too much memory by children": EnvironmentAttempt("take by children", lambda tried: tried.done),
    "take too much memory by a memory file": EnvironmentAttempt("take a memory file", lambda tried: tried.done),
    "take too much memory in /dev/shm": EnvironmentAttempt("take shared memory", lambda tried: tried.done),
    "start too many tasks": EnvironmentAttempt("start many", lambda tried: tried.done),
    "find a secret in its variables": EnvironmentAttempt("find a secret", lambda tried: tried.done),
    "outlive in a session of its own": EnvironmentAttempt("leave the session", lambda tried: tried.left > 0),
    "outlive as a daemon": EnvironmentAttempt("leave twice", lambda tried: tried.left > 0),
    "outlive as a daemon that ignores signals": EnvironmentAttempt("leave and be deaf", lambda tried: tried.left > 0),
    "outlive in a process group of its own": EnvironmentAttempt("leave the group", lambda tried: tried.left > 0),
    "freeze with the interpreter's lock": EnvironmentAttempt("freeze", lambda tried: tried.seconds > FROZEN_S),
    "never answer": EnvironmentAttempt("sleep", lambda tried: tried.seconds > FROZEN_S),
    "flood what it prints": EnvironmentAttempt("flood", lambda tried: tried.grown > LARGE, "all output is kept"),
    "answer with 200 MB": EnvironmentAttempt("huge", lambda tried: tried.grown > LARGE, "all output is kept"),
    "answer with lists 100,000 deep": EnvironmentAttempt("deep", lambda tried: not tried.usable, "the json module"),
    "answer with code": EnvironmentAttempt("trap", lambda tried: tried.done, "the pickle module"),
    "crash": EnvironmentAttempt("crash", lambda tried: not tried.usable, _ENDS),
    "exit": EnvironmentAttempt("exit", lambda tried: not tried.usable, _ENDS),
    "raise an interrupt": EnvironmentAttempt("interrupt", lambda tried: not tried.usable, _ENDS),
    "kill its parent": EnvironmentAttempt("kill the parent", lambda tried: not tried.usable, _ENDS),
    "kill its process group": EnvironmentAttempt("kill the group", lambda tried: not tried.usable, _ENDS),
}
"""All attempts of an environment, by name."""


def sealed(folder: Path) -> dict[str, str]:
    """Make every attempt in the host of an environment."""
    with _project(folder):
        return {name: _outcome(one, _hosted(folder, one.act)) for name, one in ENVIRONMENT.items()}


def controls(folder: Path) -> dict[str, str]:
    """Make every attempt without a host."""
    with _project(folder):
        return {name: _outcome(one, _plain(folder, one.act)) for name, one in ENVIRONMENT.items()}


def _outcome(one: EnvironmentAttempt, tried: Tried) -> str:
    return "breached" if one.breached(tried) else "held: it was stopped"


@contextmanager
def _project(folder: Path) -> Iterator[None]:
    """Make the hostile environment importable, and give the harness a variable with a secret."""
    (folder / "hostile.py").write_bytes(Path(hostile.__file__).read_bytes())
    with patch.dict(os.environ, {_VARIABLE: "proctor-escape-value"}), patch.object(sys, "path", list(sys.path)):
        make_importable(folder)
        try:
            yield
        finally:
            close_hosts()


def _hosted(folder: Path, act: str) -> Tried:
    token = f"token-{secrets.token_hex(8)}"
    report = folder / token
    call_s = 2.0 if act in FROZEN else PATIENCE_S
    arguments = {"act": act, "report": str(report), "token": token}
    conf = EnvironmentConf("hostile", "hostile:Hostile", arguments, 20, call_s=call_s, start_s=20.0, memory_mb=400)
    with closing(make_environment(conf, hosting.keep)) as environment:
        before = _peak(reset=True)
        began = time.monotonic()
        usable = _attacked(environment, 0)
        seconds, grown = time.monotonic() - began, _peak() - before
        usable = usable and _attacked(environment, 1)
    return Tried(report.exists(), seconds, grown, _left(token), usable)


def _attacked(environment: HostedEnvironment, seed: int) -> bool:
    """Reset an environment. Return whether the harness could go on, if with the error that it is meant to have."""
    try:
        environment.reset(seed)
    except EnvironmentFailed:
        return seed == 0
    except BaseException:
        return False
    return True


def _plain(folder: Path, act: str) -> Tried:
    token = f"token-{secrets.token_hex(8)}"
    report = folder / f"plain-{token}"
    if act in {"deep", "trap"}:
        return _read(act, report, token)
    runs = (
        "import os, sys; import hostile\n"
        "act, report, token = sys.argv[1:4]\n"
        "if os.fork() == 0:\n"
        "    sys.stdout.write(str(hostile.ACTS[act](report, token).get('huge', ''))); sys.stdout.flush(); os._exit(0)\n"
        "sys.exit(os.wait()[1] != 0)\n"
    )
    began = time.monotonic()
    command = [sys.executable, "-c", runs, act, str(report), token]
    path = os.pathsep.join([str(folder), *sys.path])
    variables = {**os.environ, "PYTHONPATH": path}
    with (
        (folder / f"said-{token}").open("w+b") as said,
        subprocess.Popen(command, stdout=said, stderr=said, env=variables, start_new_session=True) as run,
    ):
        with suppress(subprocess.TimeoutExpired):
            run.wait(FROZEN_S + 1 if act in FROZEN else PATIENCE_S)
        seconds, usable = time.monotonic() - began, run.poll() == 0
        left = [process for process in processes_with(token) if "time.sleep(60)" in " ".join(process.cmdline())]
        for process in processes_with(token):
            process.kill()
        kept = said.seek(0, os.SEEK_END)
    return Tried(report.exists(), seconds, kept, len(left), usable)


def _read(act: str, report: Path, token: str) -> Tried:
    """Read an answer as a careless harness would."""
    usable = True
    try:
        if act == "trap":
            pickle.loads(pickle.dumps(hostile.ACTS[act](str(report), token)))  # noqa: S301 - the control
        else:
            json.loads("[" * 100_000)
    except RecursionError:
        usable = False
    return Tried(report.exists(), 0.0, 0, 0, usable)


def _left(token: str) -> int:
    """Return how many processes live on, and kill them."""
    deadline = time.monotonic() + 2
    while (left := processes_with(token)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in left:
        process.kill()
    return len(left)


def _peak(*, reset: bool = False) -> int:
    """Return the most bytes that this process had in memory since the last `reset`."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10
