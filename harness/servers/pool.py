"""The model server that a process holds. It holds one at a time, for as long as its cases need it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from harness.case import ModelConf, ProviderConf, ServerNeed
from harness.servers.acquire import Lease, acquire
from harness.servers.base import Progress, ServerFault, ServerMissing
from harness.servers.kinds import kind_of

_TRIES = 2


class ServerPool:
    """Lends one server after another to the cases of a process.

    It releases its server before it waits for another one, so that processes that wait for each other's GPUs cannot
    block each other.
    """

    def __init__(self, run_folder: Path, progress: Progress) -> None:
        self._run_folder = run_folder
        self._progress = progress
        self._held: tuple[ServerNeed, Lease] | None = None
        self._failures = defaultdict[ServerNeed, list[ServerMissing | ServerFault]](list)

    def lease(self, need: ServerNeed, model: ModelConf, provider: ProviderConf) -> Lease:
        """Return the server for `need`: the held server, or another one in its place.

        Raise `ServerMissing` or `ServerFault`, as `acquire` does. The pool does not look again for something missing,
        and does not start a server again that failed twice.
        """
        self.release(unless=need)
        failures = self._failures[need]
        if self._held and not self._held[1].is_good:
            failures.append(ServerFault(f"{need.key}: its server crashed again and again"))
            self.release()
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

    def release(self, *, unless: ServerNeed | None = None) -> None:
        """Release the held server, unless it serves the need `unless`, which comes next."""
        if self._held and self._held[0] != unless:
            _need, lease = self._held
            self._held = None
            lease.release()

    def gpu_memory_mb(self) -> int | None:
        """Return the memory in use on the held server's GPUs, in MB (a million bytes); `None` without such a server."""
        return self._held[1].memory_mb() if self._held else None
