"""What Proctor claims about GPUs, each claim tried on a real one. A check returns the facts that it has measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from harness.servers.gpus import Gpu, inventory
from harness.servers.leases import Leases
from harness.servers.placement import Start, Wait, impossible, place
from tests.gpu.contender import Turn
from tests.gpu.holding import HELD
from tests.gpu.server import NEED, ROOT, WAIT_S, lease
from tests.gpu.visible_devices import Devices

Facts = dict[str, Any]

_SHARE = 0.2
"""The share of the GPU's memory that a check holds."""

_MOST_EXTRA_MB = 3_000
"""How much more memory than its tensor a process may hold: the context of CUDA, and the code of PyTorch's kernels."""

_FREE_S = 20.0
"""How many seconds the memory of a dead process may stay in use."""


class Wrong(Exception):
    """A claim does not hold on this machine."""


class Bench(Struct, frozen=True):
    """All GPUs of this process, before the checks keep to the first one, and a folder for the checks' files."""

    gpus: tuple[Gpu, ...]
    folder: Path

    @property
    def gpu(self) -> Gpu:
        """The GPU that the checks use, as it was at first."""
        return self.gpus[0]

    @property
    def megabytes(self) -> int:
        """How much memory a check holds."""
        return int(self.gpu.memory_mb * _SHARE)

    def now(self) -> Gpu:
        """Return the GPU as it is at this moment."""
        return next(gpu for gpu in inventory() if gpu.uuid == self.gpu.uuid)


def inventoried(bench: Bench) -> Facts:
    """Every GPU has a UUID of its own, memory, a name and a driver."""
    gpus = bench.gpus
    _require(len({gpu.uuid for gpu in gpus}) == len(gpus), "two GPUs have one UUID")
    _require(all(gpu.uuid.startswith("GPU-") for gpu in gpus), "a UUID does not begin with GPU-")
    _require(all(0 < gpu.free_mb <= gpu.memory_mb for gpu in gpus), "a GPU has no free memory, or more than all")
    return {"gpus": [msgspec.to_builtins(gpu) for gpu in gpus], "doctor": [gpu.described for gpu in gpus]}


def restricted(bench: Bench) -> Facts:
    """CUDA_VISIBLE_DEVICES hides the same GPUs from Proctor as from PyTorch, by index, by UUID, and if it is empty."""
    values = {"index": str(bench.gpu.index), "uuid": bench.gpu.uuid, "beginning": bench.gpu.uuid[:12]}
    wanted = {**{key: [bench.gpu.uuid] for key in values}, "empty": list[str](), "minus_one": list[str]()}
    values |= {"empty": "", "minus_one": "-1"}
    found = {name: _devices(value) for name, value in values.items()}
    for name, devices in found.items():
        said = f"CUDA_VISIBLE_DEVICES={values[name]!r} shows {devices}"
        _require(devices.proctor == wanted[name] and devices.torch in (None, wanted[name]), said)
    return {name: msgspec.to_builtins(devices) for name, devices in found.items()}


def foreign(bench: Bench) -> Facts:
    """A GPU on which another program computes is left alone, and is free again once that program has died."""
    before = bench.now()
    with _held(bench) as process:
        gpu = bench.now()
        _require(before.free_mb - gpu.free_mb >= bench.megabytes, f"the tensor is not seen: {before} then {gpu}")
        found = place(NEED, "other", None, servers=(), gpus=[gpu], cpu_slots=1)
        _require(isinstance(found, Wait), f"the GPU is not left alone: {found}")
        facts = {
            "held_mb": before.free_mb - gpu.free_mb,
            "pids": gpu.processes,
            "pid_is_seen": process.pid in gpu.processes,
            "reason": found.reason if isinstance(found, Wait) else None,
            "doctor": gpu.described,
        }
    return {**facts, "free_again_s": _seconds_until_free(bench, before)}


def placed(bench: Bench) -> Facts:
    """A model goes to a GPU that has its memory free. It waits for one that could have it, and is refused otherwise."""
    gpu = bench.now()
    idle = place(NEED, "other", gpu.memory_mb * 0.5 / 1000, servers=(), gpus=[gpu], cpu_slots=1)
    _require(isinstance(idle, Start), f"an idle GPU is not used: {idle}")
    too_much = gpu.memory_mb * 2 / 1000
    never = impossible(NEED, too_much, [gpu])
    _require(never is not None, "a model that is larger than the GPU is not refused")
    before = gpu
    with _held(bench):
        full = place(NEED, "other", gpu.memory_mb * 0.95 / 1000, servers=(), gpus=[bench.now()], cpu_slots=1)
    _require(isinstance(full, Wait), f"a full GPU is used: {full}")
    _seconds_until_free(bench, before)
    return {"too_large": never, "full": full.reason if isinstance(full, Wait) else None}


def raced(bench: Bench) -> Facts:
    """Of two processes that want the only GPU at the same time, one waits until the other has given it back."""
    command = [sys.executable, "-m", "tests.gpu.contender", str(bench.megabytes), str(bench.folder)]
    racers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    said = [racer.communicate()[0] for racer in racers]
    _require(all(racer.returncode == 0 for racer in racers), "a contender failed, see its output above")
    first, second = sorted((msgspec.json.decode(each, type=Turn) for each in said), key=lambda turn: turn.began)
    _require(first.gpus == second.gpus == (bench.gpu.uuid,), f"they were not on this GPU: {first}, {second}")
    _require(first.ended <= second.began, f"both had the lease: {first}, {second}")
    return {"handed_over_s": round(second.began - first.ended, 2)}


def killed(bench: Bench) -> Facts:
    """A server runs on the GPU that is leased to it. After a SIGKILL its memory is free, and it is started again."""
    before = bench.now()
    began = time.monotonic()
    with lease(bench.megabytes, bench.folder) as held:
        facts: Facts = {"start_s": round(time.monotonic() - began, 2), "gpu_memory_mb": held.memory_mb()}
        _require(held.gpus == (bench.gpu.uuid,), f"it runs on {held.gpus}")
        used = (held.memory_mb() or 0) - (before.memory_mb - before.free_mb)
        _require(0 <= used - bench.megabytes <= _MOST_EXTRA_MB, f"it uses {used} MB, and holds {bench.megabytes} MB")
        os.kill(_server_pid(), signal.SIGKILL)
        facts["free_again_s"] = _seconds_until_free(bench, before)
        held.ensure_ready()
        _require(bench.now().free_mb <= before.free_mb - bench.megabytes, "it was not started again on this GPU")
    return {**facts, "driver": before.driver, "free_after_release_s": _seconds_until_free(bench, before)}


CHECKS: Mapping[str, Callable[[Bench], Facts]] = {
    "inventory": inventoried,
    "visible_devices": restricted,
    "foreign_process": foreign,
    "placement": placed,
    "race": raced,
    "killed_server": killed,
}


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)


def _devices(value: str) -> Devices:
    variables = {**os.environ, "CUDA_VISIBLE_DEVICES": value, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    command = [sys.executable, "-m", "tests.gpu.visible_devices"]
    ran = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, check=False, timeout=WAIT_S)
    _require(ran.returncode == 0, f"with CUDA_VISIBLE_DEVICES={value!r} the GPUs cannot be listed, see above")
    return msgspec.json.decode(ran.stdout, type=Devices)


@contextmanager
def _held(bench: Bench) -> Iterator[subprocess.Popen[str]]:
    """Run another program that holds memory of the GPU."""
    command = [sys.executable, "-m", "tests.gpu.holding", str(bench.megabytes)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline().strip() if process.stdout else ""
            _require(line == HELD, "no memory could be held, see the output above")
            yield process
        finally:
            process.kill()


def _seconds_until_free(bench: Bench, before: Gpu) -> float:
    """Return how long the GPU took to have as much memory free as it had before, from now on."""
    began = time.monotonic()
    while bench.now().free_mb < before.free_mb * 0.99:
        _require(time.monotonic() < began + _FREE_S, f"memory is not free after {_FREE_S:g} s: {bench.now()}")
        time.sleep(0.02)
    return round(time.monotonic() - began, 2)


def _server_pid() -> int:
    with Leases().change() as state:
        processes = [server.process for server in state.servers if server.process is not None]
    _require(len(processes) == 1, f"there is not one server, but {len(processes)}")
    return processes[0].pid
