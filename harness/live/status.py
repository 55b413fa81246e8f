"""What a worker is doing. The worker writes it to a small file, and the process with the terminal reads it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.live.line import CaseProgress
from harness.malformed import MALFORMED
from harness.visible import visible_struct

_EVERY_S = 0.5
_RATE_S = 10.0


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """What a worker is doing: a case's session, or something else (`doing`), such as waiting for a GPU.

    `tokens_per_s` is the rate of output tokens over the last ten seconds or a little more. `gpu_memory_mb` is the
    memory in use on the GPUs of its model server. `budget` is what is used and left of the budgets that the case
    shares, as of the time `budget_at`. `None` means not known.
    """

    case: str | None = None
    turn: int | None = None
    last_tool: str | None = None
    doing: str | None = None
    tokens_per_s: float | None = None
    gpu_memory_mb: float | None = None
    budget: str | None = None
    budget_at: float = 0.0


class Rate:
    """How fast a count grows, over the last `window_s` seconds or back to the last change before them."""

    def __init__(self, window_s: float = _RATE_S) -> None:
        self._window_s = window_s
        self._changes: deque[tuple[float, int]] = deque()

    def update(self, count: int, now: float) -> float:
        """Note the count and return its growth per second. A count that has become smaller starts again."""
        changes = self._changes
        if changes and count < changes[-1][1]:
            changes.clear()
        if not changes or count > changes[-1][1]:
            changes.append((now, count))
        while len(changes) > 1 and changes[1][0] <= now - self._window_s:
            changes.popleft()
        began, least = changes[0]
        return (count - least) / (now - began) if now > began else 0.0


class StatusFile:
    """The status of one worker as a file `NAME.json`, in a folder that the reader watches. It implements `Live`.

    The reader makes the folder. Without it, nothing is written. `gpu_memory_mb` returns the GPU memory in use. It is
    called at most twice a second.
    """

    def __init__(self, path: Path, gpu_memory_mb: Callable[[], float | None] = lambda: None) -> None:
        self._path = path
        self._gpu_memory_mb = gpu_memory_mb
        self._rate = Rate()
        self._shown: float | None = None

    def show(self, what: CaseProgress | str) -> None:
        """Replace the file, at most twice a second. If it cannot be written, nothing happens."""
        now = time.monotonic()
        if self._shown is not None and now - self._shown < _EVERY_S:
            return
        self._shown = now
        if not self._path.parent.is_dir():
            return
        new = self._path.with_suffix(".new")
        with suppress(OSError):
            new.write_bytes(msgspec.json.encode(visible_struct(self._status(what, now))))
            new.replace(self._path)

    def clear(self) -> None:
        """Remove the file."""
        self._shown = None
        self._rate = Rate()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _status(self, what: CaseProgress | str, now: float) -> WorkerStatus:
        memory = self._gpu_memory_mb()
        if isinstance(what, str):
            return WorkerStatus(doing=what, gpu_memory_mb=memory)
        rate = None if what.output_tokens is None else self._rate.update(what.output_tokens, now)
        return WorkerStatus(
            case=what.case,
            turn=what.turn,
            last_tool=what.last_tool,
            tokens_per_s=rate,
            gpu_memory_mb=memory,
            budget=what.budget or None,
            budget_at=what.budget_at,
        )


def read_statuses(folder: Path) -> dict[str, WorkerStatus]:
    """Return the status of each worker that has one, by name, in the order of the workers' numbers."""
    statuses = {}
    for file in sorted(folder.glob("*.json"), key=lambda file: (len(file.name), file.name)):
        with suppress(OSError, *MALFORMED):  # removed in the meantime, or written by another version
            statuses[file.stem] = msgspec.json.decode(file.read_bytes(), type=WorkerStatus)
    return statuses
