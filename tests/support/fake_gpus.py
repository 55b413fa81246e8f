"""GPUs for a machine without any: a fake NVML that shows all processes of a test the same GPUs."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

NVML = Path(__file__).parent / "fake_nvml" / "pynvml.py"
MEMORY_MB = 24_000


class FakeGpus:
    """A number of fake GPUs. A process sees them if its environment has `variables`."""

    def __init__(self, folder: Path, count: int = 8, memory_mb: int = MEMORY_MB) -> None:
        self.uuids = [f"GPU-{number:08x}-0000-4000-8000-{number:012x}" for number in range(1, count + 1)]
        self.file = folder / "gpus.json"
        self._gpus = [{"uuid": uuid, "name": "Fake 4090", "memory_mb": memory_mb} for uuid in self.uuids]
        self._uses = self.file.with_suffix(".uses")
        self._uses.mkdir(parents=True)
        self.linger(False)

    @property
    def variables(self) -> dict[str, str]:
        paths = [str(NVML.parent), os.environ.get("PYTHONPATH", "")]
        return {"PROCTOR_FAKE_NVML": str(self.file), "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this process and the processes that it starts see these GPUs until the test ends."""
        spec = importlib.util.spec_from_file_location("pynvml", NVML)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        for name, value in self.variables.items():
            monkeypatch.setenv(name, value)
        for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
            monkeypatch.delenv(name, raising=False)

    def use(self, pid: int, memory_mb: Mapping[str, int]) -> None:
        """Let a process use memory, given by UUID, until it dies."""
        write_use(self.file, pid, memory_mb)

    def linger(self, lingering: bool) -> None:
        """Set whether the memory of dead processes stays in use."""
        write(self.file, {"gpus": self._gpus, "lingering": lingering})


def write_use(file: Path, pid: int, memory_mb: Mapping[str, int]) -> None:
    """Record the memory that a process uses. `file` is the file named by PROCTOR_FAKE_NVML."""
    write(file.with_suffix(".uses") / f"{pid}.json", dict(memory_mb))


def write(path: Path, data: object) -> None:
    """Write JSON atomically, so that a reader never sees half of it."""
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(data))
    new.replace(path)
