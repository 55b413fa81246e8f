"""The text of the live view with workers: a line for each worker and a progress bar. It does no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from harness.live.line import fitted, width
from harness.live.status import WorkerStatus

_BAR = 24


class Board:
    """Follows the cases of a run. `expected` is how many seconds cases took in earlier runs."""

    def __init__(self, cases: Iterable[str], expected: Mapping[str, float]) -> None:
        self._left = dict[str, None]()
        self._total = 0
        self.add(cases)
        self._expected = dict(expected)
        self._began: dict[str, float] = {}
        self._took: list[float] = []
        self._budgets: dict[str, tuple[float, str]] = {}

    def add(self, cases: Iterable[str]) -> None:
        """Count these cases too."""
        new = dict.fromkeys(cases)
        self._left |= new
        self._total += len(new)

    def began(self, case: str, now: float) -> None:
        """Note that a worker has begun a case."""
        if case in self._left:
            self._began[case] = now

    def done(self, case: str, now: float) -> None:
        """Note that a case has ended."""
        if case in self._left:
            del self._left[case]
            self._took.append(now - self._began.pop(case, now))

    def seconds_left(self, now: float, workers: int) -> float | None:
        """Estimate how many seconds are left, or return `None` if there is nothing to estimate from.

        The estimate is the remaining work divided by the number of workers, but at least the longest remaining case. A
        case that nothing is known about counts with the median of those that are known.
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
        """Return at most `rows` lines of at most `columns` columns.

        The last one is the bar. The one before it tells what is used and left of the budgets that cases share.
        """
        lines = _aligned([_cells(name, status) for name, status in statuses.items()])
        end = [*self._budget(statuses.values()), self._bar(now, workers)]
        if len(lines) > rows - len(end):
            shown = max(0, rows - len(end) - 1)
            lines = [*lines[:shown], f"… and {len(lines) - shown} more"]
        lines += end
        return [fitted(line, columns) for line in lines[-rows:]]

    def _budget(self, statuses: Iterable[WorkerStatus]) -> list[str]:
        """Return the line about budgets: of each, what the latest answer left of it. There is none without a budget."""
        for status in statuses:
            for told in (status.budget or "").split("; "):
                name = told.partition(": ")[0]
                if told and self._budgets.get(name, (0.0, ""))[0] <= status.budget_at:
                    self._budgets[name] = status.budget_at, told
        told_now = [told for _, told in self._budgets.values()]
        return ["; ".join(told_now)] if told_now else []

    def _bar(self, now: float, workers: int) -> str:
        done = self._total - len(self._left)
        filled = _BAR * done // self._total if self._total else _BAR
        left = self.seconds_left(now, workers) if self._left else None
        estimate = "" if left is None else f", about {duration(left)} left"
        return f"[{'#' * filled}{'-' * (_BAR - filled)}] {done} of {self._total} cases{estimate}"


def duration(seconds: float) -> str:
    """Return a duration as people say it: `40 s`, `14 min`, `2 h 5 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


_TOOL = 16
"""Columns for the name of a tool, without its MCP server. The width leaves room for the cells after it."""


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
    """Return the rows with aligned columns. The last cell of a row does not widen its column."""
    widths = [0] * max(map(len, rows), default=0)
    for row in rows:
        while len(row) > 1 and not row[-1]:
            row.pop()
        for i, cell in enumerate(row[:-1]):
            widths[i] = max(widths[i], width(cell))
    return ["  ".join(cell + " " * (widths[i] - width(cell)) for i, cell in enumerate(row)).rstrip() for row in rows]
