"""Starts the process of a model server, and waits until it answers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
from msgspec import Struct

from harness.case import ModelConf, ProviderConf
from harness.servers.base import Launch, Progress, ServerFault, ServerKind, ServerMissing
from harness.servers.gpus import Gpu, visibility
from harness.servers.processes import MARKER, Process, family, process, stop_family

LOG: Final = "server.log"
GRACE_S: Final = 10.0
"""Seconds between SIGTERM and SIGKILL."""

_TRIES = 3
_POLL_S = 0.1
_STRANGER_S = 3.0
_TAIL_BYTES = 3000
_TAIL_LINES = 20
_IN_USE = re.compile(r"address already in use|couldn't bind", re.IGNORECASE)

_children: dict[int, subprocess.Popen[bytes]] = {}


class Plan(Struct, frozen=True, kw_only=True):
    """What to start, and where. `mark` goes into the marker variable of the server's processes."""

    kind: ServerKind
    model: ModelConf
    provider: ProviderConf
    folder: Path
    mark: str
    gpus: tuple[Gpu, ...] = ()
    port: int | None = None


def start(plan: Plan, spawned: Callable[[Process], None], progress: Progress) -> str:
    """Start the server and return its address once it answers.

    `spawned` is called with each new process. If another program takes the port first, try again, three times in total.
    Raise `ServerMissing`, or `ServerFault` with the end of the log. After an error, none of the processes is left.
    """
    port = plan.port if plan.port and _is_free(plan.port) else _free_port()
    for _ in range(_TRIES):
        launch = Launch(
            model=plan.model,
            provider=plan.provider,
            port=port,
            folder=plan.folder,
            gpus=tuple(gpu.uuid for gpu in plan.gpus),
        )
        began = log_size(plan.folder)
        child = _spawn(plan, launch)
        leader = process(child.pid) or Process(child.pid, 0)
        try:
            spawned(leader)
            if _answers(plan, launch, child, leader, progress):
                return launch.url
        except BaseException:
            stop_family(leader, plan.mark, GRACE_S)
            reap()
            raise
        stop_family(leader, plan.mark, GRACE_S)
        reap()
        if not _IN_USE.search(log_since(plan.folder, began)):
            raise ServerFault(
                with_tail(f"{plan.provider.kind} ended with status {child.returncode} before it answered", plan.folder)
            )
        port = _free_port()
    raise ServerFault(
        with_tail(f"{plan.provider.kind} found its port taken by another program {_TRIES} times in a row", plan.folder)
    )


def reap() -> None:
    """Collect the exit codes of ended children of this process, so that they do not stay as zombies."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]


def log_size(folder: Path) -> int:
    """Return the size of the log in bytes."""
    path = folder / LOG
    return path.stat().st_size if path.exists() else 0


def log_since(folder: Path, offset: int) -> str:
    """Return the log from byte `offset` on."""
    path = folder / LOG
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(offset)
        return log.read().decode("utf-8", "replace")


def with_tail(message: str, folder: Path) -> str:
    """Return the message, followed by the end of the server's log."""
    tail = log_since(folder, max(0, log_size(folder) - _TAIL_BYTES)).splitlines()[-_TAIL_LINES:]
    return "\n".join([message, f"its log, {folder / LOG}, ends:", *(f"  {line}" for line in tail)])


def _spawn(plan: Plan, launch: Launch) -> subprocess.Popen[bytes]:
    """Start the process in its own session, so that Ctrl-C on the terminal does not reach it."""
    home = plan.folder / "home"
    home.mkdir(exist_ok=True)
    command = list(plan.kind.command(launch))
    passed = ("PATH", "LD_LIBRARY_PATH")
    variables = {
        **{name: os.environ[name] for name in passed if name in os.environ},
        "LANG": "C.UTF-8",
        "HOME": str(home),
        **visibility(plan.gpus),
        **plan.kind.environment(launch),
        MARKER: plan.mark,
    }
    with (plan.folder / LOG).open("ab") as log:
        try:
            child = subprocess.Popen(
                command,
                env=variables,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise ServerMissing(f"{command[0]} cannot be started: {error.strerror}") from error
    _children[child.pid] = child
    return child


def _answers(plan: Plan, launch: Launch, child: subprocess.Popen[bytes], leader: Process, progress: Progress) -> bool:
    """Wait until the server answers or ends. Return whether it answers. Raise `ServerFault` if that takes too long.

    Another program may have just taken the port, and answer. Then the server will end, so wait for that.
    """
    patience = plan.kind.start_s(plan.model, plan.provider)
    began = time.monotonic()
    answered: float | None = None
    while (now := time.monotonic()) - began < patience:
        progress(f"starting {plan.provider.kind} for {plan.model.name}: {now - began:.0f} s")
        if child.poll() is not None:
            return False
        if plan.kind.healthy(launch.url):
            answered = answered or now
            if _listens(leader, plan.mark, launch.port) or now - answered > _STRANGER_S:
                return True
        time.sleep(_POLL_S)
    raise ServerFault(with_tail(f"{plan.provider.kind} did not answer within {patience:g} s (start_s)", plan.folder))


def _listens(leader: Process, mark: str, port: int) -> bool:
    """Return whether one of the server's own processes listens on the port."""
    for pid in family(leader, mark):
        try:
            connections = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:
            continue
        if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections):
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
