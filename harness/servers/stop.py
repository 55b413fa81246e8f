"""Stops model servers: those whose last user went, and those whose users died. Then their GPUs are free again."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from harness.servers import journal
from harness.servers.gpus import inventory
from harness.servers.leases import LeasedServer, Leases, LeaseState, lease_file, new_holder
from harness.servers.processes import end, marked, process
from harness.servers.start import GRACE_S, reap

VRAM_S = 30.0
"""Seconds in which the memory of a GPU must be free again after its last process has ended."""

_SLACK_MB = 300
_POLL_S = 0.05


def sweep(leases: Leases | None = None) -> list[str]:
    """Stop every server that nobody who lives uses, and kill what no lease knows of any more; returns their keys.

    For the start and the end of a run, and before each lease: so whoever was killed leaves nothing behind for long.
    """
    leases = leases or Leases()
    with leases.change() as state:
        _kill_strays(leases, state)
    return clear(leases)


def sweep_left() -> list[str]:
    """Sweep if there ever was a lease here; returns the keys of what it stopped. Raises `ServerFault`."""
    return sweep() if lease_file().exists() else []


def clear(leases: Leases) -> list[str]:
    """Stop every server that nobody who lives uses; returns their keys."""
    with leases.change() as state:
        claimed = claim(state)
    for server in claimed:
        take_down(leases, server)
    return [server.name for server in claimed]


def claim(state: LeaseState) -> list[LeasedServer]:
    """Take over the stopping of all abandoned servers; the caller must then `take_down` each."""
    claimed = [server for server in state.servers if server.abandoned]
    for server in claimed:
        server.state, server.owner, server.holders = "stopping", new_holder(), []
    return claimed


def take_down(leases: Leases, server: LeasedServer) -> None:
    """End all processes of a server that is `stopping`, see its GPUs free, and give up its lease."""
    began = time.monotonic()
    leftover = quench(leases, server)
    journal.enter("stopped", server, seconds=time.monotonic() - began, leftover=leftover)
    with leases.change() as state:  # only now: what is loaded next on its GPUs comes later in the journal
        state.remove(server.id)


def quench(leases: Leases, server: LeasedServer, *, grace_s: float = GRACE_S) -> tuple[str, ...]:
    """End all processes of a server and wait until its GPUs' memory is free; returns what is left of either."""
    if server.folder is None:
        return ()
    alive = end(server.process, leases.marker(server.id), grace_s)
    reap()
    return (*(f"process {pid}" for pid in sorted(alive)), *(f"memory of {uuid}" for uuid in _not_freed(server)))


def _not_freed(server: LeasedServer) -> list[str]:
    """The GPUs that do not have the memory free, in time, that they had before the server came.

    One on which somebody else has begun to compute meanwhile is not waited for.
    """
    before = dict(zip(server.gpus, server.free_mb, strict=True))
    deadline = time.monotonic() + VRAM_S
    while before:
        now = {gpu.uuid: gpu for gpu in inventory() if gpu.uuid in before}
        held = [
            uuid
            for uuid, gpu in now.items()
            if gpu.free_mb + _SLACK_MB < before[uuid] and not any(process(pid) for pid in gpu.processes)
        ]
        if not held or time.monotonic() > deadline:
            return held
        time.sleep(_POLL_S)
    return []


def _kill_strays(leases: Leases, state: LeaseState) -> None:
    """Kill what bears a mark of this folder that no lease knows: the file was lost."""
    for pid, mark in marked(leases.marker()).items():
        folder, _, server_id = mark.rpartition("/")
        if pid != os.getpid() and folder == str(leases.folder) and state.find(server_id) is None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
