"""A kind of model server that serves no model: it only holds memory of the GPU that it is leased."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from harness.case import ModelConf, ProviderConf, ServerNeed
from harness.servers.acquire import Lease, acquire
from harness.servers.base import Facts, Launch, Progress

ROOT = Path(__file__).parents[2]
NEED = ServerNeed("held", gpus=1, parallel=1)
WAIT_S = 120.0
"""How many seconds a server may take to start, and a contender may wait for the GPU."""


class MemoryHolder:
    """A server that holds this many megabytes of its GPU. It is a `ServerKind`."""

    def __init__(self, megabytes: int) -> None:
        self._megabytes = megabytes

    def start_s(self, model: ModelConf, provider: ProviderConf) -> float:
        """Importing PyTorch and making a context takes some seconds."""
        return WAIT_S

    def external_url(self, provider: ProviderConf) -> str | None:
        """Proctor starts it."""
        return None

    def command(self, launch: Launch) -> Sequence[str]:
        """Return the command line of `tests.gpu.holding`."""
        return [sys.executable, "-m", "tests.gpu.holding", str(self._megabytes), str(launch.port)]

    def environment(self, launch: Launch) -> dict[str, str]:
        """Let it import this repository, and see the fake GPUs of a test."""
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        fake = {name: value for name, value in os.environ.items() if name == "PROCTOR_FAKE_NVML"}
        return {"PYTHONPATH": os.pathsep.join(paths), **fake}

    def healthy(self, url: str) -> bool:
        """Return whether it answers."""
        connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def prepare(self, url: str, model: ModelConf, provider: ProviderConf, progress: Progress) -> None:
        """It has no model to load."""

    def inspect(self, url: str, model: ModelConf, provider: ProviderConf) -> Facts:
        """It says nothing about a model."""
        return Facts()

    def metrics(self, url: str) -> Mapping[str, float]:
        """It counts nothing."""
        return {}

    def warnings(self, log: str) -> list[str]:
        """It warns of nothing."""
        return []


def lease(megabytes: int, folder: Path) -> Lease:
    """Return a lease of such a server on a free GPU. Wait for one."""
    return acquire(
        NEED,
        ModelConf("held", "held", gpus=1, gpu_memory_gb=megabytes / 1000),
        ProviderConf("held", "vllm", []),
        kind=MemoryHolder(megabytes),
        run_folder=folder,
        wait_s=WAIT_S,
    )
