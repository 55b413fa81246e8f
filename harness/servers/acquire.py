"""Gets a model server: joins one that runs, or starts one on free GPUs.

    with acquire(need, model, provider, kind=kind, run_folder=run) as lease:
        ...  # send requests to lease.url

All processes of this user on this machine share their leases, so several workers and runs can use one server. Each
`acquire` first sweeps what killed processes left (`harness.servers.stop`).
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
from harness.servers.lifecycle import Lifecycle, ServerRequest
from harness.servers.placement import Wait
from harness.servers.start import log_since, log_size
from harness.servers.stop import sweep, sweep_abandoned

WAIT_S = 6 * 3600.0
"""Seconds to wait for a GPU if the caller does not say."""

_POLL_S = 0.2


class _Gone(ServerFault):
    """The server was stopped while this lease waited for it: the process that started it died."""


def quiet(_: str) -> None:
    """Show no progress."""


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
    """Return a lease of a server that has loaded the model: one that runs and has a free place, or else a new one.

    Wait while all suitable GPUs are taken. Raise `ServerMissing` if this machine can never serve the model. Raise
    `ServerFault` if the server fails, if it serves a different model or context, or if nothing becomes free within
    `wait_s` seconds. Raise `ConfError` if an option is wrong.
    """
    kind.start_s(model, provider)
    request = ServerRequest(
        need=need, model=model, provider=provider, kind=kind, run_folder=run_folder, progress=progress
    )
    leases = Leases()
    sweep(leases)
    lifecycle = Lifecycle(request, new_holder(), leases)
    deadline = time.monotonic() + wait_s
    while True:
        found = lifecycle.find()
        if isinstance(found, Wait):
            if time.monotonic() > deadline:
                raise ServerFault(f"{need.key}: waited {wait_s:g} s for {found.reason}")
            progress(f"{need.key}: waiting for {found.reason}")
            time.sleep(_POLL_S)
            continue
        lease = Lease(lifecycle, found)
        try:
            lease.ensure_ready()
        except _Gone:
            lease.release()
            continue
        except BaseException:
            lease.release()
            raise
        return lease


class Lease:
    """The right to use a server until `release`. It is a context manager. `acquire` makes it."""

    def __init__(self, lifecycle: Lifecycle, server: LeasedServer) -> None:
        self._lifecycle = lifecycle
        self._server = server
        self._released = False
        self._checked = False
        atexit.register(self.release)

    @property
    def url(self) -> str:
        """The server's address, without a path. It may change in `ensure_ready`."""
        return self._server.url or ""

    @property
    def facts(self) -> Facts:
        """What the server says about the model it has loaded."""
        return self._server.facts

    @property
    def gpus(self) -> tuple[str, ...]:
        """The UUIDs of the server's GPUs. Empty on the CPU, and for a server that Proctor did not start."""
        return self._server.gpus

    @property
    def folder(self) -> Path | None:
        """The folder with the server's log, in the run that started it; `None` if Proctor did not start it."""
        return Path(self._server.folder) if self._server.folder else None

    @property
    def is_good(self) -> bool:
        """Whether the server can still be used: it is there, or it can be started again."""
        with self._lifecycle.leases.change() as state:
            server = state.find(self._server.id)
        return server is not None and self._lifecycle.holder in server.holders and server.failure is None

    def log_size(self) -> int:
        """Return the present length of the server's log in bytes, to pass to `warnings` later."""
        return log_size(self.folder) if self.folder else 0

    def warnings(self, since: int = 0) -> list[str]:
        """Return the messages in the log, from byte `since` on, that make a result doubtful. Users share the log."""
        return self._lifecycle.request.kind.warnings(log_since(self.folder, since)) if self.folder else []

    def memory_mb(self) -> int | None:
        """Return the memory in use on the server's GPUs, in MB (a million bytes); `None` without a GPU."""
        used = [gpu.memory_mb - gpu.free_mb for gpu in inventory() if gpu.uuid in self.gpus] if self.gpus else []
        return sum(used) if used else None

    def gpu_driver(self) -> str | None:
        """Return the version of the driver of the server's GPUs; `None` without a GPU, or if it is not known."""
        return next((gpu.driver for gpu in inventory() if gpu.uuid in self.gpus), None) if self.gpus else None

    def ensure_ready(self) -> None:
        """Wait until the server answers, and start it if that is this lease's task. Call this before each attempt.

        The first lease that notices a crash starts the server again on the same GPUs, once. Raise `ServerFault` if it
        crashes a second time, or if a server that Proctor did not start no longer answers.
        """
        lifecycle = self._lifecycle
        while True:
            server = self._server = self._current()
            if server.failure is not None:
                raise (ServerMissing if server.failure.missing else ServerFault)(server.failure.message)
            if server.state == "starting" and server.owner == lifecycle.holder:
                lifecycle.bring_up(server)
            elif server.state == "starting":
                lifecycle.request.progress(f"{server.name}: waiting for the worker that starts it")
                time.sleep(_POLL_S)
                sweep_abandoned(lifecycle.leases)
            elif not lifecycle.answers(server):
                lifecycle.claim_restart(server)
            elif server.folder is None and not self._checked:
                lifecycle.check(server)
                self._checked = True
            else:
                return

    def release(self) -> None:
        """Give the server back. The last user stops it and waits until its GPUs are free. May be called again."""
        if not self._released:
            self._released = True
            atexit.unregister(self.release)
            self._lifecycle.release(self._server.id)

    def _current(self) -> LeasedServer:
        with self._lifecycle.leases.change() as state:
            server = state.find(self._server.id)
        if server is None or self._lifecycle.holder not in server.holders:
            raise _Gone(f"{self._server.name}: another process stopped the server")
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
