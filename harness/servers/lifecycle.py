"""The steps in a model server's life that its users take: find, start, load, check, restart, release."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from harness.case import ModelConf, ProviderConf, ServerNeed
from harness.servers import journal
from harness.servers.base import Facts, Progress, ServerFault, ServerKind, ServerMissing
from harness.servers.gpus import Gpu, cpu_slots, inventory
from harness.servers.leases import Holder, LeasedServer, Leases, LeaseState, ServerFailure, new_id
from harness.servers.placement import Join, Start, Wait, impossible, place
from harness.servers.processes import Process
from harness.servers.start import Plan, start, with_tail
from harness.servers.stop import claim_abandoned, stop, stop_processes

SILENT_S = 20.0
"""How many seconds a server may fail its health checks while its process lives. After that, it counts as crashed."""

_POLL_S = 0.2


class ServerRequest(Struct, frozen=True, kw_only=True):
    """What a lease asks for: a server of this model. A new server gets a folder in `run_folder`."""

    need: ServerNeed
    model: ModelConf
    provider: ProviderConf
    kind: ServerKind
    run_folder: Path
    progress: Progress


class Lifecycle:
    """The steps that one holder takes for one request. Each step is safe while other processes take theirs.

    `external_url` is the address of a configured server, which Proctor uses as it is. `None` means to start one.
    """

    def __init__(self, request: ServerRequest, holder: Holder, leases: Leases) -> None:
        self.request = request
        self.holder = holder
        self.leases = leases
        self.external_url = request.kind.external_url(request.provider)
        setup = msgspec.json.encode((request.model, request.provider, self.external_url))
        self._key = f"{request.need.key}#{hashlib.sha256(setup).hexdigest()[:12]}"

    def find(self) -> LeasedServer | Wait:
        """Return a server that this holder holds from now on, or what to wait for.

        The server is ready or being started. Its `owner` starts it. Raise `ServerMissing` if waiting cannot help.
        """
        request = self.request
        gpus = () if self.external_url or not request.need.gpus else inventory()
        why = None if self.external_url else impossible(request.need, request.model.gpu_memory_gb, gpus)
        if why:
            raise ServerMissing(why)
        with self.leases.change() as state:
            dead = claim_abandoned(state)
            found = Wait("a server that is being stopped") if dead else self._place(state, gpus)
            held = found if isinstance(found, Wait) else self._hold(state, found)
        for each in dead:
            stop(self.leases, each)
        return held

    def answers(self, server: LeasedServer) -> bool:
        """Return whether a server still answers. Wait up to `SILENT_S` seconds for that while its process lives."""
        deadline = time.monotonic() + SILENT_S
        while server.process is None or server.process.lives:
            if self.request.kind.healthy(server.url or ""):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return False

    def claim_restart(self, server: LeasedServer) -> None:
        """Mark a crashed server as `starting` by this holder, unless another holder was faster.

        Raise `ServerFault` for a server that Proctor did not start.
        """
        if server.folder is None:
            raise ServerFault(f"{server.name}: the server at {server.url} no longer answers")
        with self.leases.change() as state:
            current = state.get(server.id)
            if current.state != "ready" or current.process != server.process:
                return
            current.state, current.owner, current.restarts = "starting", self.holder, current.restarts + 1
        journal.enter("crashed", server, message=with_tail("the end of its log", Path(server.folder)))

    def bring_up(self, server: LeasedServer) -> None:
        """Start the server that this holder owns, load the model, and mark the server as `ready`.

        Raise `ServerMissing` or `ServerFault`. The other holders, which wait, then raise the same error. If this
        process dies here, one of them takes over.
        """
        began = time.monotonic()
        try:
            url = self._run(server)
            facts = self.load(url, Path(server.folder or ""))
        except (ServerMissing, ServerFault) as error:
            self._fail(server, error)
            raise
        except BaseException:
            with self.leases.change() as state:
                state.get(server.id).state = "stopping"
            stop(self.leases, server)
            raise
        with self.leases.change() as state:
            ready = state.get(server.id)
            ready.state, ready.owner, ready.url, ready.facts = "ready", None, url, facts
        journal.enter("loaded", ready, seconds=time.monotonic() - began)

    def check(self, server: LeasedServer) -> None:
        """Check the model of a server that Proctor did not start. Raise `ServerMissing` or `ServerFault`."""
        facts = self.load(server.url or "", None)
        with self.leases.change() as state:
            state.get(server.id).facts = facts

    def load(self, url: str, folder: Path | None) -> Facts:
        """Load the model, and return what the server says about it. Raise `ServerMissing` or `ServerFault`."""
        request = self.request
        request.progress(f"{request.need.key}: loading")
        try:
            request.kind.prepare(url, request.model, request.provider, request.progress)
            return request.kind.inspect(url, request.model, request.provider)
        except ServerFault as error:
            raise ServerFault(with_tail(str(error), folder) if folder else str(error)) from error

    def release(self, server_id: str) -> None:
        """Give up the server. The last holder stops it. A holder that should have started it stops it too."""
        with self.leases.change() as state:
            server = state.find(server_id)
            if server is None or self.holder not in server.holders:
                return
            server.holders.remove(self.holder)
            if server.holders and server.owner != self.holder:
                return
            if server.folder is None or server.state == "failed":
                state.remove(server_id)
                return
            ready = server.state == "ready"
            server.state, server.owner = "stopping", self.holder
        if ready:
            self._enter_counters(server)
        stop(self.leases, server)

    def _enter_counters(self, server: LeasedServer) -> None:
        """Write the server's own counters to the journal."""
        with suppress(ServerFault):
            counters = self.request.kind.metrics(server.url or "")
            if counters:
                journal.enter("counted", server, counters=counters)

    def _place(self, state: LeaseState, gpus: tuple[Gpu, ...]) -> Join | Start | Wait:
        request = self.request
        if not self.external_url:
            return place(
                request.need,
                self._key,
                request.model.gpu_memory_gb,
                servers=state.servers,
                gpus=gpus,
                cpu_slots=cpu_slots(),
            )
        known = next((server for server in state.servers if server.key == self._key), None)
        if known is None:
            return Start()
        full = Wait(f"a place at {self.external_url}, which takes {known.parallel} at a time")
        return Join(known.id) if known.has_room else full

    def _hold(self, state: LeaseState, found: Join | Start) -> LeasedServer:
        if isinstance(found, Join):
            server = state.get(found.id)
        else:
            server = self._registered(found.gpus)
            state.servers.append(server)
        server.holders.append(self.holder)
        return server

    def _registered(self, gpus: tuple[Gpu, ...]) -> LeasedServer:
        return LeasedServer(
            id=new_id(),
            key=self._key,
            parallel=self.request.need.parallel,
            state="ready" if self.external_url else "starting",
            owner=None if self.external_url else self.holder,
            holders=[],
            folder=None if self.external_url else str(self._new_folder()),
            gpus=tuple(gpu.uuid for gpu in gpus),
            free_mb=tuple(gpu.free_mb for gpu in gpus),
            url=self.external_url,
        )

    def _new_folder(self) -> Path:
        """Make a folder for the server in the run: `servers/NAME-1`, then `-2`, …"""
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.request.model.name)
        for number in count(1):
            folder = self.request.run_folder.resolve() / "servers" / f"{name}-{number}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            break
        return folder

    def _run(self, server: LeasedServer) -> str:
        """Start the server's process and return its address. After a crash, first stop what is left of the old one."""
        request = self.request
        if server.restarts:
            stop_processes(self.leases, server, grace_s=0)
        if server.restarts > 1:
            raise ServerFault(with_tail(f"{request.need.key} crashed for the second time", Path(server.folder or "")))

        def spawned(process: Process) -> None:
            server.process = process
            with self.leases.change() as state:
                state.get(server.id).process = process

        plan = Plan(
            kind=request.kind,
            model=request.model,
            provider=request.provider,
            folder=Path(server.folder or ""),
            mark=self.leases.marker(server.id),
            gpus=_still_there(server),
            port=urlsplit(server.url).port if server.url else None,
        )
        return start(plan, spawned, request.progress)

    def _fail(self, server: LeasedServer, error: ServerMissing | ServerFault) -> None:
        """Stop what was started, free its GPUs, and leave the reason for all holders."""
        leftover = stop_processes(self.leases, server)
        journal.enter("failed", server, message=str(error), leftover=leftover)
        with self.leases.change() as state:
            failed = state.get(server.id)
            failed.state, failed.owner, failed.gpus, failed.free_mb = "failed", None, (), ()
            failed.failure = ServerFailure(str(error), missing=isinstance(error, ServerMissing))


def _still_there(server: LeasedServer) -> tuple[Gpu, ...]:
    """Return the server's GPUs. Raise `ServerFault` if one is gone: the server must not run on the CPU instead."""
    gpus = tuple(gpu for gpu in inventory() if gpu.uuid in server.gpus) if server.gpus else ()
    gone = set(server.gpus) - {gpu.uuid for gpu in gpus}
    if gone:
        raise ServerFault(f"{server.name}: its GPU is no longer there: {', '.join(sorted(gone))}")
    return gpus
