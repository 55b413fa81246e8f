"""The environments of cases: started early, and kept within bounds as boxes are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from harness.environment_conf import EnvironmentConf
from harness.environments import factory
from harness.environments.keeping import Kept
from harness.sandbox.base import Bounds, Resources
from harness.sandbox.cgroup import parents
from harness.sandbox.keeper import Keeper

_TASKS = 1024
"""The processes and threads that an environment may have."""
_MB = 1 << 20


def begin(conf: EnvironmentConf) -> None:
    """Start the process that imports the environment, and do not wait for it. Mistakes are told when it is used."""
    factory.begin(conf, keep)


def keep(pid: int, memory: int, kill: Callable[[], object]) -> Kept:
    """Keep a process of an environment within bounds. See `harness.environments.keeping.Keeping`.

    Raise `SandboxError` if this machine has cgroups, and the process cannot be put into one.
    """
    return _Kept(pid, memory, kill)


def weaker() -> list[str]:
    """Return what cannot be guaranteed about the limits of environments here, in words."""
    lacking = {
        "memory": "an environment's memory is limited for each process and by measuring, as there is no memory cgroup",
        "pids": "the number of an environment's processes has no limit, because there is no pids cgroup",
        "cpu": "a busy environment may slow others down, because there is no cpu cgroup",
    }
    return [words for name, words in lacking.items() if name not in parents().folders]


class _Kept:
    """The process of an environment, and its descendants."""

    def __init__(self, pid: int, memory: int, kill: Callable[[], object]) -> None:
        self._memory = memory
        self._over = False

        def too_much() -> None:
            self._over = True
            kill()

        self._keeper = Keeper(pid, Bounds(memory_bytes=memory, tasks=_TASKS), kill=too_much)
        self._keeper.watch()

    def exceeded(self) -> str | None:
        """See `Kept.exceeded`."""
        used = Resources()
        with suppress(OSError):
            self._keeper.measure_at_last()
            used = self._keeper.resources()
        return f"it used more than {self._memory // _MB} MB of memory" if self._over or used.out_of_memory else None

    def close(self) -> None:
        """See `Kept.close`."""
        self._keeper.end()
