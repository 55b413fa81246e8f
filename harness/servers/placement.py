"""Decides how to serve a need: join a server that runs, start one on free GPUs, or wait. The functions are pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

from harness.case import ServerNeed
from harness.servers.gpus import Gpu
from harness.servers.leases import LeasedServer

IDLE_SHARE = 0.9
"""The share of a GPU's memory that must be free for a model without `memory_gb` in its configuration."""


class Join(Struct, frozen=True):
    """Use the server of this id. It runs, or is being started."""

    id: str


class Start(Struct, frozen=True):
    """Start a server on these GPUs, or on the CPU if there are none."""

    gpus: tuple[Gpu, ...] = ()


class Wait(Struct, frozen=True):
    """Wait, because nothing is free. `reason` says what to wait for, and who holds it."""

    reason: str


def impossible(need: ServerNeed, memory_gb: float | None, gpus: Sequence[Gpu]) -> str | None:
    """Return why these GPUs could not serve the need even if all were free, or `None` if they could."""
    if need.gpus == 0:
        return None
    if not gpus:
        return f"{need.key} needs {_count(need.gpus)}, and there is no usable GPU here (see `proctor doctor`)"
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
    """Join a server of this key that has a place. Otherwise start one on the smallest free GPUs. Otherwise wait.

    A GPU is free if it is not leased, no process computes on it, and it has `memory_gb` free. `cpu_slots` is the number
    of servers that may run on the CPU.
    """
    here = {gpu.uuid for gpu in gpus}  # another run of this user may see other GPUs
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
    """Sort ready servers before those being started, then the least used first."""
    return server.state != "ready", len(server.holders)


def _is_free(gpu: Gpu, memory_gb: float | None) -> bool:
    return not gpu.processes and gpu.free_mb >= _memory_mb(memory_gb, gpu)


def _memory_mb(memory_gb: float | None, gpu: Gpu) -> float:
    return memory_gb * 1000 if memory_gb else gpu.memory_mb * IDLE_SHARE


def _by_vendor(gpus: Iterable[Gpu]) -> list[list[Gpu]]:
    """Group the GPUs that one server can use together, the smallest first, to keep large GPUs for large models."""
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
