"""The model server that a process holds: one at a time, kept for as long as its cases need it."""

from __future__ import annotations

from pathlib import Path

from harness.case import ModelConf, ProviderConf, ServerNeed
from harness.servers.base import Progress
from harness.servers.kinds import kind_of
from harness.servers.shared import Lease, acquire


class ServerPool:
    """Holds no server while it waits for one, so that processes which wait for each other's GPUs cannot block."""

    def __init__(self, run_folder: Path, progress: Progress) -> None:
        self._run_folder = run_folder
        self._progress = progress
        self._held: tuple[ServerNeed, Lease] | None = None

    def lease(self, need: ServerNeed, model: ModelConf, provider: ProviderConf) -> Lease:
        """The server of that need: the one that is held, or one that takes its place.

        Raises `ServerMissing` or `ServerFault`, as `acquire` does.
        """
        self.keep(need)
        if self._held is None:
            lease = acquire(
                need,
                model,
                provider,
                kind=kind_of(provider),
                run_folder=self._run_folder,
                progress=self._progress,
            )
            self._held = (need, lease)
        return self._held[1]

    def keep(self, need: ServerNeed | None) -> None:
        """Give the server back, unless it is the one of that need, which comes next."""
        if self._held and self._held[0] != need:
            _need, lease = self._held
            self._held = None
            lease.release()

    def gpu_memory_mb(self) -> int | None:
        """Memory in use on the GPUs of the server that is held (MB: a million bytes); none without."""
        return self._held[1].memory_mb() if self._held else None
