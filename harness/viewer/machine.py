"""The model servers of running runs, and the GPUs of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from harness.lazy import LazyModule
from harness.malformed import MALFORMED
from harness.servers.journal import FILE, JournalEntry
from harness.visible import visible, visible_struct

if TYPE_CHECKING:
    from harness.servers import gpus
else:  # it loads NVIDIA's library
    gpus = LazyModule("harness.servers.gpus")

_EVERY_S = 2.0
_WITHOUT_S = 60.0
"""How long a machine without a GPU is not asked again."""


class ShownServer(Struct, frozen=True, kw_only=True):
    """A model server that a run has started. `event` is what happened last, and `at` is when, in UTC."""

    run: str
    key: str
    event: str
    at: str
    gpus: tuple[str, ...]
    seconds: float | None
    message: str | None


class ShownGpu(Struct, frozen=True, kw_only=True):
    """A GPU: its memory in MB (a million bytes), and how many processes compute on it."""

    uuid: str
    name: str
    memory_mb: int
    used_mb: int
    processes: int


class KnownGpus:
    """The GPUs of this machine."""

    def __init__(self) -> None:
        self._gpus: list[ShownGpu] = []
        self._asked: float | None = None

    def now(self) -> list[ShownGpu]:
        """Return the GPUs. The driver is asked every few seconds at most."""
        now = time.monotonic()
        if self._asked is None or now - self._asked > (_EVERY_S if self._gpus else _WITHOUT_S):
            self._asked = now
            self._gpus = [
                ShownGpu(
                    uuid=gpu.uuid,
                    name=visible(gpu.name),
                    memory_mb=gpu.memory_mb,
                    used_mb=gpu.memory_mb - gpu.free_mb,
                    processes=len(gpu.processes),
                )
                for gpu in gpus.inventory()
            ]
        return self._gpus


def servers(runs: Sequence[Path]) -> list[ShownServer]:
    """Return the model servers that these runs have started and not stopped."""
    found = []
    for run in runs:
        last = {entry.server: entry for entry in _journal(run) if entry.event != "counted"}
        found += [
            ShownServer(
                run=visible(run.name),
                key=entry.key,
                event=entry.event,
                at=entry.at,
                gpus=entry.gpus,
                seconds=entry.seconds,
                message=entry.message,
            )
            for entry in last.values()
            if entry.event != "stopped"
        ]
    return found


def _journal(run: Path) -> Iterator[JournalEntry]:
    """Yield the lines of the run's journal. A line that was cut short is left out."""
    with suppress(OSError):
        for line in (run / FILE).read_bytes().splitlines():
            with suppress(*MALFORMED):
                yield visible_struct(msgspec.json.decode(line, type=JournalEntry))
