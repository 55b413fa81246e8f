"""Ends model servers. There are three verbs, here and in all of `harness.servers`:

- *release*: one user is done with a server. The release of the last user stops it.
- *stop*: end a server. Its first process gets SIGTERM and time to end the others. Those that are left get SIGKILL. Then
  wait until the memory of its GPUs is free.
- *sweep*: stop what dead runs left: servers without a living user, and processes of servers without a lease.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from harness.servers import journal
from harness.servers.gpus import inventory
from harness.servers.leases import LeasedServer, Leases, LeaseState, lease_file, new_holder
from harness.servers.processes import marked, process, stop_family
from harness.servers.start import GRACE_S, reap

VRAM_S = 30.0
"""How many seconds after the end of its last process the memory of a GPU must be free again."""

_SLACK_MB = 300
_POLL_S = 0.05


def sweep(leases: Leases | None = None) -> list[str]:
    """Sweep this user's servers on this machine, or those in `leases`. Return the keys of the stopped servers.

    Runs at the start and at the end of a run and before each lease, so that a run that is killed leaves nothing behind
    for long. Raise `ServerFault` if the leases cannot be read.
    """
    if leases is None:
        if not lease_file().exists():
            return []
        leases = Leases()
    with leases.change() as state:
        _kill_strays(leases, state)
    return sweep_abandoned(leases)


def sweep_after_exit() -> None:
    """Start a process that sweeps as soon as this process has ended. Use it when there is no time to stop a server."""
    waits_and_sweeps = "import sys; sys.stdin.read(); from harness.servers.stop import sweep; sweep()"
    subprocess.Popen(
        [sys.executable, "-c", waits_and_sweeps],
        cwd=Path(__file__).parents[2],  # the folder of the package
        stdin=subprocess.PIPE,  # it reads the end of file when this process ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def sweep_abandoned(leases: Leases) -> list[str]:
    """Stop every server in `leases` without a living user, and return their keys."""
    with leases.change() as state:
        claimed = claim_abandoned(state)
    for server in claimed:
        stop(leases, server)
    return [server.name for server in claimed]


def claim_abandoned(state: LeaseState) -> list[LeasedServer]:
    """Mark every abandoned server as `stopping` by this process. The caller must then `stop` each of them."""
    claimed = [server for server in state.servers if server.abandoned]
    for server in claimed:
        server.state, server.owner, server.holders = "stopping", new_holder(), []
    return claimed


def stop(leases: Leases, server: LeasedServer) -> None:
    """Stop a server that is marked as `stopping`, write an event to the journal, and give up its lease."""
    began = time.monotonic()
    leftover = stop_processes(leases, server)
    journal.enter("stopped", server, seconds=time.monotonic() - began, leftover=leftover)
    with leases.change() as state:  # only now, so that the journal shows this before the next load on these GPUs
        state.remove(server.id)


def stop_processes(leases: Leases, server: LeasedServer, *, grace_s: float = GRACE_S) -> tuple[str, ...]:
    """Stop the processes of a server and wait until its GPUs' memory is free. Its lease stays.

    Return what is left: processes that could not be killed, and GPUs with memory that did not become free.
    """
    if server.folder is None:
        return ()
    alive = stop_family(server.process, leases.marker(server.id), grace_s)
    reap()
    return (*(f"process {pid}" for pid in sorted(alive)), *(f"memory of {uuid}" for uuid in _not_freed(server)))


def _not_freed(server: LeasedServer) -> list[str]:
    """Wait until the server's GPUs have as much free memory as before its start. Return those that do not in time.

    Do not wait for a GPU on which another process has begun to compute.
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
    """Kill processes with a mark of these leases that do not belong to a server in them, because the file was lost."""
    for pid, mark in marked(leases.marker()).items():
        folder, _, server_id = mark.rpartition("/")
        if pid != os.getpid() and folder == str(leases.folder) and state.find(server_id) is None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
