"""What the live view with workers says: a line a worker and a bar for the whole. Pure: time and statuses are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from harness.live.line import fitted, width
from harness.live.status import WorkerStatus

_BAR = 24


class Board:
    """Follows the cases of a run. `expected` are the seconds that cases took in earlier runs."""

    def __init__(self, cases: Iterable[str], expected: Mapping[str, float]) -> None:
        self._left = dict.fromkeys(cases)
        self._total = len(self._left)
        self._expected = dict(expected)
        self._began: dict[str, float] = {}
        self._took: list[float] = []

    def began(self, case: str, now: float) -> None:
        """A worker has begun a case."""
        if case in self._left:
            self._began[case] = now

    def done(self, case: str, now: float) -> None:
        """A case is over."""
        if case in self._left:
            del self._left[case]
            self._took.append(now - self._began.pop(case, now))

    def seconds_left(self, now: float, workers: int) -> float | None:
        """An estimate: the work that is left shared by all workers, but at least the longest case; none: no idea.

        A case of which nothing is known takes as long as the median of those that are.
        """
        known = [seconds for case in self._left if (seconds := self._expected.get(case)) is not None]
        usual = median(known or self._took) if known or self._took else None
        if usual is None:
            return None
        left = [max(0.0, self._expected.get(case, usual) - (now - self._began.get(case, now))) for case in self._left]
        return max(sum(left) / max(1, workers), max(left, default=0.0))

    def lines(
        self, statuses: Mapping[str, WorkerStatus], *, now: float, workers: int, columns: int, rows: int
    ) -> list[str]:
        """At most `rows` lines of at most `columns` columns, the bar last."""
        lines = _aligned([_cells(name, status) for name, status in statuses.items()])
        if len(lines) > rows - 1:
            shown = max(0, rows - 2)
            lines = [*lines[:shown], f"… and {len(lines) - shown} more"]
        lines.append(self._bar(now, workers))
        return [fitted(line, columns) for line in lines[-rows:]]

    def _bar(self, now: float, workers: int) -> str:
        done = self._total - len(self._left)
        filled = _BAR * done // self._total if self._total else _BAR
        left = self.seconds_left(now, workers) if self._left else None
        told = "" if left is None else f", about {duration(left)} left"
        return f"[{'#' * filled}{'-' * (_BAR - filled)}] {done} of {self._total} cases{told}"


def duration(seconds: float) -> str:
    """As people say it: `40 s`, `14 min`, `2 h 5 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


_TOOL = 16
"""Columns of a tool's name, without its MCP server: what follows it must fit, too."""


def _cells(name: str, status: WorkerStatus) -> list[str]:
    return [
        name,
        status.case or status.doing or "",
        "" if status.turn is None else f"turn {status.turn}",
        (status.last_tool or "").rpartition("__")[2][:_TOOL],
        "" if status.tokens_per_s is None else f"{status.tokens_per_s:.0f} tok/s",
        "" if status.gpu_memory_mb is None else f"{status.gpu_memory_mb / 1000:.1f} GB",
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns one below the other; a row that ends early takes no part in the width of its last cell."""
    widths = [0] * max(map(len, rows), default=0)
    for row in rows:
        while len(row) > 1 and not row[-1]:
            row.pop()
        for i, cell in enumerate(row[:-1]):
            widths[i] = max(widths[i], width(cell))
    return ["  ".join(cell + " " * (widths[i] - width(cell)) for i, cell in enumerate(row)).rstrip() for row in rows]
