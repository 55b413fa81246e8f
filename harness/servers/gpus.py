"""The GPUs of this machine that this process may use: NVIDIA's by NVML, AMD's by `amdsmi` if that is installed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Literal

from msgspec import Struct

MB = 1_000_000


class Gpu(Struct, frozen=True, kw_only=True):
    """A GPU that this process may use.

    `index` is the driver's, in the order of the PCI bus. `memory_mb` is all its memory, and `free_mb` is the part that
    no process holds (MB: a million bytes). `processes` are the ids of the processes that compute on it. A desktop that
    only displays on it does not count. `driver` is the version of its driver, or `None` if it is not known.
    """

    uuid: str
    index: int
    name: str
    memory_mb: int
    free_mb: int
    processes: tuple[int, ...] = ()
    vendor: Literal["nvidia", "amd"] = "nvidia"
    driver: str | None = None

    @property
    def described(self) -> str:
        """Its name, memory, UUID and the processes that use it, for people."""
        pids = ", ".join(map(str, self.processes))
        used = f"; in use by process {pids}, so Proctor leaves it alone" if pids else ""
        return f"{self.name}, {self.free_mb / 1000:.1f} of {self.memory_mb / 1000:.1f} GB free, {self.uuid}{used}"


def inventory() -> tuple[Gpu, ...]:
    """Return every GPU that CUDA_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES allow, in the order of the drivers.

    Indices in these variables count in the order of the PCI bus, as with CUDA_DEVICE_ORDER=PCI_BUS_ID. Slices of a GPU
    (MIG) count as the GPU.
    """
    return (
        *visible(_nvidia(), os.environ.get("CUDA_VISIBLE_DEVICES")),
        *visible(_amd(), os.environ.get("ROCR_VISIBLE_DEVICES")),
    )


def visible(gpus: Sequence[Gpu], value: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs that such a variable allows. It lists indices, UUIDs or beginnings of UUIDs.

    CUDA's rules apply (CUDA C++ Programming Guide, "CUDA Environment Variables"): an unset variable allows all GPUs, an
    entry that does not name a GPU ends the list, and a GPU that is named twice makes the list empty.
    """
    if value is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for entry in value.split(","):
        found = _named(gpus, entry.strip())
        if found is None:
            break
        chosen.append(found)
    return tuple(chosen) if len({gpu.uuid for gpu in chosen}) == len(chosen) else ()


def visibility(gpus: Sequence[Gpu]) -> dict[str, str]:
    """Return the variables that let a process use these GPUs and no others."""
    uuids = {vendor: ",".join(gpu.uuid for gpu in gpus if gpu.vendor == vendor) for vendor in ("nvidia", "amd")}
    return {"CUDA_VISIBLE_DEVICES": uuids["nvidia"] or "-1", "ROCR_VISIBLE_DEVICES": uuids["amd"] or "-1"}


def cpu_slots() -> int:
    """Return how many model servers may run on the CPU at once: one for every four cores, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // 4)


def _named(gpus: Sequence[Gpu], entry: str) -> Gpu | None:
    """Return the GPU of that index, or the only one whose UUID begins with `entry`."""
    if entry.isascii() and entry.isdigit():
        return next((gpu for gpu in gpus if gpu.index == int(entry)), None)
    found = [gpu for gpu in gpus if entry.startswith("GPU-") and gpu.uuid.startswith(entry)]
    return found[0] if len(found) == 1 else None


def _nvidia() -> list[Gpu]:
    nvml: Any = import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver, or no GPU
        return []
    found = []
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            with suppress(nvml.NVMLError):  # this GPU is lost or does not answer, but the others are still there
                found.append(_nvidia_gpu(nvml, index))
    finally:
        nvml.nvmlShutdown()
    return found


def _nvidia_gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        uuid=nvml.nvmlDeviceGetUUID(handle),
        index=index,
        name=nvml.nvmlDeviceGetName(handle),
        memory_mb=memory.total // MB,
        free_mb=memory.free // MB,
        processes=tuple(sorted(process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle))),
        driver=nvml.nvmlSystemGetDriverVersion(),
    )


def _amd() -> list[Gpu]:
    """Return AMD's GPUs, if ROCm's package `amdsmi` (not a dependency of Proctor) is installed and finds its driver."""
    try:
        smi: Any = import_module("amdsmi")
        smi.amdsmi_init()
    except Exception:  # each version fails in its own way if its library does not fit the driver
        return []
    found = []
    try:
        for index, handle in enumerate(smi.amdsmi_get_processor_handles()):
            with suppress(smi.AmdSmiException):
                found.append(_amd_gpu(smi, index, handle))
    finally:
        smi.amdsmi_shut_down()
    return found


def _amd_gpu(smi: Any, index: int, handle: Any) -> Gpu:
    """Read one GPU. ROCR_VISIBLE_DEVICES takes the chip's serial number (rocm.docs.amd.com, "GPU isolation")."""
    chip = smi.amdsmi_get_gpu_asic_info(handle)
    total = smi.amdsmi_get_gpu_memory_total(handle, smi.AmdSmiMemoryType.VRAM)
    used = smi.amdsmi_get_gpu_memory_usage(handle, smi.AmdSmiMemoryType.VRAM)
    return Gpu(
        uuid="GPU-" + chip["asic_serial"].lower().removeprefix("0x"),
        index=index,
        name=chip["market_name"],
        memory_mb=total // MB,
        free_mb=(total - used) // MB,
        processes=tuple(sorted(process["pid"] for process in smi.amdsmi_get_gpu_process_list(handle))),
        vendor="amd",
        driver=_amd_driver(smi, handle),
    )


def _amd_driver(smi: Any, handle: Any) -> str | None:
    try:
        return str(smi.amdsmi_get_gpu_driver_info(handle)["driver_version"])
    except (AttributeError, smi.AmdSmiException):  # ROCm 5 has no such function
        return None
