"""The model server that a process holds: one at a time, kept for as long as its cases need it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from harness.case import ModelConf, ProviderConf, ServerNeed
from harness.servers.base import Progress, ServerFault, ServerMissing
from harness.servers.kinds import kind_of
from harness.servers.shared import Lease, acquire

_TRIES = 2


class ServerPool:
    """Holds no server while it waits for one, so that processes which wait for each other's GPUs cannot block."""

    def __init__(self, run_folder: Path, progress: Progress) -> None:
        self._run_folder = run_folder
        self._progress = progress
        self._held: tuple[ServerNeed, Lease] | None = None
        self._failures = defaultdict[ServerNeed, list[ServerMissing | ServerFault]](list)

    def lease(self, need: ServerNeed, model: ModelConf, provider: ProviderConf) -> Lease:
        """The server of that need: the one that is held, or one that takes its place.

        Raises `ServerMissing` or `ServerFault`, as `acquire` does. What is missing is not looked for again, and a
        server that failed `_TRIES` times is not started again.
        """
        self.keep(need)
        failures = self._failures[need]
        if self._held and not self._held[1].is_good:
            failures.append(ServerFault(f"{need.key}: its server crashed again and again"))
            self.keep(None)
        if self._held is None:
            if failures and (isinstance(failures[-1], ServerMissing) or len(failures) >= _TRIES):
                raise failures[-1]
            try:
                lease = acquire(
                    need,
                    model,
                    provider,
                    kind=kind_of(provider),
                    run_folder=self._run_folder,
                    progress=self._progress,
                )
            except (ServerMissing, ServerFault) as error:
                failures.append(error)
                raise
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
