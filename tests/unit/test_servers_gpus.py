"""Which GPUs exist, and which of them may be used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.servers.gpus import Gpu, cpu_slots, inventory, visibility, visible
from tests.support.fake_gpus import FakeGpus

GPUS = [
    Gpu(uuid=f"GPU-{letter * 8}", index=index, name="x", memory_mb=1, free_mb=1) for index, letter in enumerate("abcd")
]
INDICES = st.integers(0, 3)


@given(st.lists(INDICES, unique=True, min_size=1), st.data())
def test_indices_uuids_and_their_beginnings_choose_in_the_order_named(indices: list[int], data: st.DataObject) -> None:
    names = [data.draw(st.sampled_from([str(i), GPUS[i].uuid, GPUS[i].uuid[:5]])) for i in indices]
    assert [gpu.index for gpu in visible(GPUS, ",".join(names))] == indices


@given(
    st.lists(INDICES, unique=True),
    st.sampled_from(["-1", "", "9", "GPU-", "GPU-x", "aaaa", "MIG-1", "1.0"]),
    st.lists(INDICES),
)
def test_no_gpu_counts_after_the_first_invalid_one(before: list[int], invalid: str, after: list[int]) -> None:
    value = ",".join([*map(str, before), invalid, *map(str, after)])
    assert [gpu.index for gpu in visible(GPUS, value)] == before


def test_an_unset_variable_leaves_all_gpus_and_a_repeated_gpu_leaves_none() -> None:
    assert visible(GPUS, None) == tuple(GPUS)
    assert visible(GPUS, "1,0,1") == ()


@given(st.lists(st.sampled_from(GPUS), unique=True))
def test_the_variable_that_makes_gpus_visible_is_read_back_as_these_gpus(some: list[Gpu]) -> None:
    assert list(visible(GPUS, visibility(some)["CUDA_VISIBLE_DEVICES"])) == some
    assert visibility(some)["ROCR_VISIBLE_DEVICES"] == "-1"


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeGpus(tmp_path).install(monkeypatch)
    monkeypatch.delenv("PROCTOR_FAKE_NVML")
    assert inventory() == ()


def test_each_gpu_reports_its_memory_and_its_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeGpus(tmp_path, count=3)
    fake.install(monkeypatch)
    fake.use(os.getpid(), {fake.uuids[1]: 10_000})
    fake.use(2**22 + 1, {fake.uuids[1]: 5_000})  # no process has this id
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    used, idle = inventory()
    assert (used.uuid, used.index, used.memory_mb, used.free_mb) == (fake.uuids[1], 1, 24_000, 14_000)
    assert (used.processes, idle.processes, idle.free_mb) == ((os.getpid(),), (), 24_000)
    assert used.driver == idle.driver == "570.86.15"


def test_a_lost_gpu_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeGpus(tmp_path, count=3)
    fake.install(monkeypatch)
    nvml: Any = import_module("pynvml")

    def lost(handle: Any) -> Any:
        if handle["uuid"] == fake.uuids[1]:
            raise nvml.NVMLError("GPU is lost")
        return whole(handle)

    whole = nvml.nvmlDeviceGetMemoryInfo
    monkeypatch.setattr(nvml, "nvmlDeviceGetMemoryInfo", lost)
    assert [gpu.index for gpu in inventory()] == [0, 2]


class TestAmd:
    def test_its_gpus_have_the_ids_that_rocr_visible_devices_accepts(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        FakeGpus(tmp_path, count=0).install(monkeypatch)
        monkeypatch.setitem(sys.modules, "amdsmi", _amdsmi())
        (gpu,) = inventory()
        assert (gpu.uuid, gpu.name, gpu.memory_mb, gpu.free_mb) == ("GPU-deadbeef00000001", "MI300X", 192_000, 190_000)
        assert (gpu.vendor, gpu.processes, gpu.driver) == ("amd", (42,), "6.12.12")
        assert visibility([gpu]) == {"CUDA_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": gpu.uuid}
        monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "1")
        assert inventory() == ()


def _amdsmi() -> Any:
    """Return the part of AMD's documented interface (amdsmi-py-api) that Proctor uses."""
    return SimpleNamespace(
        AmdSmiException=RuntimeError,
        AmdSmiMemoryType=SimpleNamespace(VRAM="vram"),
        amdsmi_init=lambda: None,
        amdsmi_shut_down=lambda: None,
        amdsmi_get_processor_handles=lambda: ["handle"],
        amdsmi_get_gpu_asic_info=lambda _: {"asic_serial": "0xDEADBEEF00000001", "market_name": "MI300X"},
        amdsmi_get_gpu_driver_info=lambda _: {"driver_name": "amdgpu", "driver_version": "6.12.12"},
        amdsmi_get_gpu_memory_total=lambda *_: 192_000_000_000,
        amdsmi_get_gpu_memory_usage=lambda *_: 2_000_000_000,
        amdsmi_get_gpu_process_list=lambda _: [{"pid": 42, "name": "train"}],
    )


def test_there_is_at_least_one_cpu_slot() -> None:
    assert cpu_slots() >= 1
