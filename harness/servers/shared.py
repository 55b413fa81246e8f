"""One model server for all the workers that can use it: joined where one runs, started where GPUs are free.

    with acquire(need, model, provider, kind=kind, run_folder=run) as lease:
        ...  # ask at lease.url

Leases are this user's on this machine, so that several runs share servers too. What somebody left who was killed is
cleared away before each lease, and by `stop.sweep`.
"""

from __future__ import annotations

import atexit
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.case import ModelConf, ProviderConf, ServerNeed
from harness.servers.base import Facts, Progress, ServerFault, ServerKind, ServerMissing
from harness.servers.gpus import inventory
from harness.servers.leases import LeasedServer, Leases, new_holder
from harness.servers.placement import Wait
from harness.servers.serving import ServerRequest, Serving
from harness.servers.start import log_since, log_size
from harness.servers.stop import clear, sweep

WAIT_S = 6 * 3600.0
"""Seconds to wait for a GPU, where the caller does not say."""

_POLL_S = 0.2


class _Gone(ServerFault):
    """The server that was waited for is no more: whoever was starting it died."""


def quiet(_: str) -> None:
    """Shows no progress."""


def acquire(
    need: ServerNeed,
    model: ModelConf,
    provider: ProviderConf,
    *,
    kind: ServerKind,
    run_folder: Path,
    progress: Progress = quiet,
    wait_s: float = WAIT_S,
) -> Lease:
    """A server of the model: one that runs already and has room, else one that is started, if need be after a wait.

    Raises `ServerMissing` where this machine can never serve the model, `ServerFault` where the server fails, serves
    something else than was asked, or nothing becomes free in `wait_s` seconds; `ConfError` for wrong options.
    """
    kind.start_s(model, provider)
    request = ServerRequest(
        need=need, model=model, provider=provider, kind=kind, run_folder=run_folder, progress=progress
    )
    leases = Leases()
    sweep(leases)
    serving = Serving(request, new_holder(), leases)
    deadline = time.monotonic() + wait_s
    while True:
        found = serving.find()
        if isinstance(found, Wait):
            if time.monotonic() > deadline:
                raise ServerFault(f"{need.key}: waited {wait_s:g} s for {found.reason}")
            progress(f"{need.key}: waiting for {found.reason}")
            time.sleep(_POLL_S)
            continue
        lease = Lease(serving, found)
        try:
            lease.settle()
        except _Gone:
            lease.release()
            continue
        except BaseException:
            lease.release()
            raise
        return lease


class Lease:
    """The right to use a server until `release`; a context manager. Made by `acquire`."""

    def __init__(self, serving: Serving, server: LeasedServer) -> None:
        self._serving = serving
        self._server = server
        self._released = False
        self._checked = False
        atexit.register(self.release)

    @property
    def url(self) -> str:
        """Where it answers, without a path; after `revive` that may be another place."""
        return self._server.url or ""

    @property
    def facts(self) -> Facts:
        """What it said of the model it has loaded."""
        return self._server.facts

    @property
    def gpus(self) -> tuple[str, ...]:
        """The UUIDs of its GPUs; none on the CPU, or where the server is somebody else's."""
        return self._server.gpus

    @property
    def folder(self) -> Path | None:
        """Where its log lies, in the run that started it; none where the server is somebody else's."""
        return Path(self._server.folder) if self._server.folder else None

    @property
    def is_good(self) -> bool:
        """Whether the server is still there, or can be started again: it did not fail for good."""
        with self._serving.leases.change() as state:
            server = state.find(self._server.id)
        return server is not None and self._serving.holder in server.holders and server.failure is None

    def log_size(self) -> int:
        """Where its log ends now, for `warnings`."""
        return log_size(self.folder) if self.folder else 0

    def warnings(self, since: int = 0) -> list[str]:
        """What its log says, from that byte on, that makes a case's result doubtful; it is shared by all who use it."""
        return self._serving.request.kind.warnings(log_since(self.folder, since)) if self.folder else []

    def memory_mb(self) -> int | None:
        """Memory in use on its GPUs (MB: a million bytes); none without a GPU."""
        used = [gpu.memory_mb - gpu.free_mb for gpu in inventory() if gpu.uuid in self.gpus] if self.gpus else []
        return sum(used) if used else None

    def revive(self) -> None:
        """See to it that the server answers: for the start of each attempt.

        One that crashed is started again on the same GPUs, once, by whoever sees it first. Raises `ServerFault` when it
        crashes a second time, and where it is somebody else's.
        """
        self.settle()

    def settle(self) -> None:
        """Wait until the server is ready, and start it where that is this lease's to do."""
        serving = self._serving
        while True:
            server = self._server = self._current()
            if server.failure is not None:
                raise (ServerMissing if server.failure.missing else ServerFault)(server.failure.message)
            if server.state == "starting" and server.owner == serving.holder:
                serving.bring_up(server)
            elif server.state == "starting":
                serving.request.progress(f"{server.name}: waiting for the worker that starts it")
                time.sleep(_POLL_S)
                clear(serving.leases)
            elif not serving.answers(server):
                serving.claim_restart(server)
            elif server.folder is None and not self._checked:
                serving.check(server)
                self._checked = True
            else:
                return

    def release(self) -> None:
        """Give it back. Its last user stops it, and returns when all its processes are gone and its GPUs are free."""
        if not self._released:
            self._released = True
            atexit.unregister(self.release)
            self._serving.leave(self._server.id)

    def _current(self) -> LeasedServer:
        with self._serving.leases.change() as state:
            server = state.find(self._server.id)
        if server is None or self._serving.holder not in server.holders:
            raise _Gone(f"{self._server.name}: the server was stopped by somebody else")
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
