"""Prints the UUIDs of the GPUs that Proctor and PyTorch may use, as JSON. PyTorch's are `null` without PyTorch."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import msgspec

from harness.servers.gpus import inventory


class Devices(msgspec.Struct, frozen=True):
    """The UUIDs by Proctor's inventory and by PyTorch."""

    proctor: list[str]
    torch: list[str] | None


def main() -> None:
    """Print them."""
    print(msgspec.json.encode(Devices([gpu.uuid for gpu in inventory()], _by_torch())).decode())


def _by_torch() -> list[str] | None:
    if not find_spec("torch"):
        return None
    cuda: Any = import_module("torch").cuda
    return [f"GPU-{cuda.get_device_properties(index).uuid}" for index in range(cuda.device_count())]


if __name__ == "__main__":
    main()
