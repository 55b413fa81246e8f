"""Where a case's model server comes from: one that runs already, GPUs that are free, or a wait. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

from harness.case import ServerNeed
from harness.servers.gpus import Gpu
from harness.servers.leases import LeasedServer

IDLE_SHARE = 0.9
"""Share of its memory that a GPU must have free for a model whose conf does not say how much it needs."""


class Join(Struct, frozen=True):
    """Use this server, which runs or is being started."""

    id: str


class Start(Struct, frozen=True):
    """Start one on these GPUs; on none: on the CPU."""

    gpus: tuple[Gpu, ...] = ()


class Wait(Struct, frozen=True):
    """Nothing is free; this is what holds it."""

    reason: str


def impossible(need: ServerNeed, memory_gb: float | None, gpus: Sequence[Gpu]) -> str | None:
    """Why these GPUs, were they all free, could not serve the need; none where they could."""
    if need.gpus == 0:
        return None
    if not gpus:
        return f"{need.key} needs {_count(need.gpus)}, and none can be used here (see `proctor doctor`)"
    large = [gpu for gpu in gpus if gpu.memory_mb >= _memory_mb(memory_gb, gpu)]
    if max((len(alike) for alike in _by_vendor(large)), default=0) >= need.gpus:
        return None
    memory = f" with {memory_gb:g} GB" if memory_gb else ""
    found = ", ".join(f"{gpu.name} {gpu.memory_mb / 1000:.0f} GB" for gpu in gpus)
    return f"{need.key} needs {_count(need.gpus)}{memory}, and this machine has: {found}"


def place(
    need: ServerNeed,
    key: str,
    memory_gb: float | None,
    *,
    servers: Sequence[LeasedServer],
    gpus: Sequence[Gpu],
    cpu_slots: int,
) -> Join | Start | Wait:
    """Join a server of that key that has room; else start one, on the smallest GPUs that are free; else wait.

    A GPU is free that is not leased, on which nobody computes, and that has the memory free.
    """
    here = {gpu.uuid for gpu in gpus}  # another run of this user, in another job, may have other GPUs
    alike = (server for server in servers if server.key == key and server.has_room and here.issuperset(server.gpus))
    ready = sorted(alike, key=_readiest)
    if ready:
        return Join(ready[0].id)
    if need.gpus == 0:
        taken = [server for server in servers if server.folder and not server.gpus and server.state != "failed"]
        if len(taken) < cpu_slots:
            return Start()
        return Wait(f"a CPU slot: all {cpu_slots} are taken by {_listed(server.name for server in taken)}")
    holders = {uuid: server for server in servers for uuid in server.gpus}
    free = [gpu for gpu in gpus if gpu.uuid not in holders and _is_free(gpu, memory_gb)]
    for together in _by_vendor(free):
        if len(together) >= need.gpus:
            return Start(tuple(together[: need.gpus]))
    held = (f"{gpu.index} {_holder(gpu, holders.get(gpu.uuid))}" for gpu in gpus if gpu not in free)
    return Wait(f"{_count(need.gpus)} ({_listed(held)})")


def _readiest(server: LeasedServer) -> tuple[bool, int]:
    """Ready ones before those being started, then the least used."""
    return server.state != "ready", len(server.holders)


def _is_free(gpu: Gpu, memory_gb: float | None) -> bool:
    return not gpu.processes and gpu.free_mb >= _memory_mb(memory_gb, gpu)


def _memory_mb(memory_gb: float | None, gpu: Gpu) -> float:
    return memory_gb * 1000 if memory_gb else gpu.memory_mb * IDLE_SHARE


def _by_vendor(gpus: Iterable[Gpu]) -> list[list[Gpu]]:
    """GPUs that one server can use together, the smallest first: a large one is kept for who needs it."""
    ordered = sorted(gpus, key=attrgetter("vendor", "memory_mb", "index"))
    return [list(alike) for _, alike in groupby(ordered, key=attrgetter("vendor"))]


def _holder(gpu: Gpu, server: LeasedServer | None) -> str:
    if server is not None:
        return f"serves {server.name}"
    if gpu.processes:
        return f"is used by process {gpu.processes[0]}"
    return f"has {gpu.free_mb / 1000:.1f} GB free"


def _count(gpus: int) -> str:
    return "a GPU" if gpus == 1 else f"{gpus} GPUs"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "none"
