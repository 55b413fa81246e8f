"""A fake NVML for a machine without GPUs. It reads `PROCTOR_FAKE_NVML`, in each process with this folder on its path.

That file names the GPUs. Beside it, a file for each process says how much memory the process uses. See
`tests/support/fake_gpus.py`.

A dead process uses no memory, unless the file sets `lingering`: then its memory is freed late.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

MEBIBYTE = 1 << 20
MB = 1_000_000


class NVMLError(Exception):
    """See NVML."""


def nvmlInit() -> None:  # noqa: N802 - NVML's name
    if "PROCTOR_FAKE_NVML" not in os.environ:
        raise NVMLError("Driver Not Loaded")


def nvmlShutdown() -> None:  # noqa: N802 - NVML's name
    """See NVML."""


def nvmlSystemGetDriverVersion() -> str:  # noqa: N802 - NVML's name
    return "570.86.15"


def nvmlDeviceGetCount() -> int:  # noqa: N802 - NVML's name
    return len(_state()["gpus"])


def nvmlDeviceGetHandleByIndex(index: int) -> Any:  # noqa: N802 - NVML's name
    return _state()["gpus"][index]


def nvmlDeviceGetUUID(handle: Any) -> str:  # noqa: N802 - NVML's name
    return str(handle["uuid"])


def nvmlDeviceGetName(handle: Any) -> str:  # noqa: N802 - NVML's name
    return str(handle["name"])


def nvmlDeviceGetMemoryInfo(handle: Any) -> Any:  # noqa: N802 - NVML's name
    total = handle["memory_mb"] * MB
    used = sum(_uses(handle["uuid"]).values()) * MB
    return SimpleNamespace(total=total, used=used, free=total - used)


def nvmlDeviceGetComputeRunningProcesses(handle: Any) -> list[Any]:  # noqa: N802 - NVML's name
    return [SimpleNamespace(pid=pid) for pid in _uses(handle["uuid"]) if _lives(pid)]


def _state() -> Any:
    return json.loads(Path(os.environ["PROCTOR_FAKE_NVML"]).read_text())


def _uses(uuid: str) -> dict[int, int]:
    """Return the MB in use on a GPU, by process."""
    lingering = _state()["lingering"]
    uses = {}
    for path in Path(os.environ["PROCTOR_FAKE_NVML"]).with_suffix(".uses").glob("*.json"):
        pid = int(path.stem)
        used = json.loads(path.read_text()).get(uuid, 0)
        if used and (lingering or _lives(pid)):
            uses[pid] = used
    return uses


def _lives(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"
