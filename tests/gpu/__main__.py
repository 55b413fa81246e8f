"""Tries on a real GPU what Proctor claims about GPUs: `make gpu-check`. Prints the facts as one JSON object.

It needs no network, and only PyTorch and the packages in `requirements/gpu.txt`. It uses the first GPU that this
process may use, and nothing else may compute on that one meanwhile. The exit status is 1 if a claim does not hold, and
2 without an idle GPU.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from harness.servers.gpus import inventory
from tests.gpu.checks import CHECKS, Bench, Facts, Wrong


def main() -> int:
    """Run the checks, and print their facts."""
    gpus = tuple(gpu for gpu in inventory() if gpu.vendor == "nvidia")
    if not gpus:
        print("gpu-check: there is no NVIDIA GPU that this process may use (see `proctor doctor`)", file=sys.stderr)
        return 2
    if gpus[0].processes:
        print(f"gpu-check: choose an idle GPU by CUDA_VISIBLE_DEVICES: {gpus[0].described}", file=sys.stderr)
        return 2
    facts: dict[str, object] = {"python": platform.python_version(), "torch": _torch(), "driver": gpus[0].driver}
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0].uuid
    failed = []
    with tempfile.TemporaryDirectory(prefix="proctor-gpu-") as folder:
        os.environ["PROCTOR_LEASES"] = f"{folder}/leases"
        bench = Bench(gpus, Path(folder))
        for name, check in CHECKS.items():
            print(f"{name} ...", file=sys.stderr, flush=True)
            began = time.monotonic()
            found: Facts
            try:
                found = check(bench)
            except Wrong as error:
                failed.append(name)
                found = {"wrong": str(error)}
                print(f"{name}: {error}", file=sys.stderr)
            facts[name] = {**found, "seconds": round(time.monotonic() - began, 1)}
    print(msgspec.json.format(msgspec.json.encode({"failed": failed, **facts})).decode())
    return 1 if failed else 0


def _torch() -> str | None:
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
