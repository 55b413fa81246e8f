"""Placing servers: no GPU is used twice, no server starts if another can be joined, and no wait is in vain."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from harness.case import ServerNeed
from harness.servers.gpus import Gpu
from harness.servers.leases import Holder, LeasedServer
from harness.servers.placement import Join, Start, Wait, impossible, place
from harness.servers.processes import Process

KEYS = st.sampled_from(["a", "b", "c"])
HOLDER = Holder(Process(1, 1), "h")


@st.composite
def machines(draw: st.DrawFn) -> tuple[list[Gpu], list[LeasedServer]]:
    """Draw GPUs of two makers and sizes, some used by other programs, and servers on some of the rest."""
    gpus = [
        Gpu(
            uuid=f"GPU-{index}",
            index=index,
            name="x",
            memory_mb=(size := draw(st.sampled_from([24_000, 80_000]))),
            free_mb=draw(st.sampled_from([size, size // 3])),
            processes=draw(st.sampled_from([(), (), (7,)])),
            vendor=draw(st.sampled_from(["nvidia", "nvidia", "amd"])),
        )
        for index in range(draw(st.integers(0, 6)))
    ]
    left = [gpu.uuid for gpu in gpus]
    servers = []
    for number in range(draw(st.integers(0, 5))):
        taken, left = left[: (count := draw(st.integers(0, 2)))], left[count:]
        parallel = draw(st.integers(1, 3))
        servers.append(
            LeasedServer(
                id=str(number),
                key=draw(KEYS),
                parallel=parallel,
                state=draw(st.sampled_from(["starting", "ready", "ready", "stopping", "failed"])),
                owner=None,
                holders=[HOLDER] * draw(st.integers(0, parallel)),
                folder="f",
                gpus=tuple(taken),
            )
        )
    return gpus, servers


@given(machines(), KEYS, st.integers(0, 3), st.sampled_from([None, 20.0, 40.0]), st.integers(1, 2), st.booleans())
def test_every_decision_is_sound(
    machine: tuple[list[Gpu], list[LeasedServer]],
    key: str,
    count: int,
    memory_gb: float | None,
    slots: int,
    hidden: bool,
) -> None:
    gpus, servers = machine
    need = ServerNeed(key, count, 1)
    gpus = gpus[:-1] if hidden else gpus
    decision = place(need, key, memory_gb, servers=servers, gpus=gpus, cpu_slots=slots)
    here = {gpu.uuid for gpu in gpus}
    joinable = {server.id for server in servers if server.key == key and server.has_room and set(server.gpus) <= here}
    leased = {uuid for server in servers for uuid in server.gpus}
    free = [
        gpu
        for gpu in gpus
        if gpu.uuid not in leased
        and not gpu.processes
        and gpu.free_mb >= (gpu.memory_mb * 0.9 if memory_gb is None else memory_gb * 1000)
    ]
    match decision:
        case Join(id=server_id):
            assert server_id in joinable
        case Start(gpus=chosen):
            assert not joinable
            assert len(set(chosen)) == len(chosen) == count
            assert set(chosen) <= set(free)
            assert len({gpu.vendor for gpu in chosen}) <= 1
            if chosen:
                alike = sorted(gpu.memory_mb for gpu in free if gpu.vendor == chosen[0].vendor)
                assert sorted(gpu.memory_mb for gpu in chosen) == alike[:count], "the smallest that fit"
        case Wait(reason=reason):
            assert not joinable
            assert reason
            if count:
                assert all(sum(gpu.vendor == vendor for gpu in free) < count for vendor in ("nvidia", "amd"))
            else:
                assert sum(not server.gpus and server.state != "failed" for server in servers) >= slots


@given(machines(), st.integers(0, 3), st.sampled_from([None, 20.0, 40.0]))
def test_an_impossible_server_never_starts_and_any_other_starts_on_an_idle_machine(
    machine: tuple[list[Gpu], list[LeasedServer]], count: int, memory_gb: float | None
) -> None:
    gpus = [msgspec.structs.replace(gpu, free_mb=gpu.memory_mb, processes=()) for gpu in machine[0]]
    need = ServerNeed("a", count, 1)
    decision = place(need, "a", memory_gb, servers=[], gpus=gpus, cpu_slots=1)
    assert isinstance(decision, Start) == (impossible(need, memory_gb, gpus) is None)
