"""The board of a launched run: a line for each part, and one for all. It does no input or output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.launch.states import PartView, left_s
from harness.live.board import duration
from harness.live.line import fitted, width

_BAR = 24


def lines(views: Sequence[PartView], *, columns: int, rows: int) -> list[str]:
    """Return at most `rows` lines of at most `columns` columns. Parts that are over are left out first."""
    shown = [one for one in views if len(views) < rows or not one.over][: max(0, rows - 2)]
    hidden = len(views) - len(shown)
    table = _aligned([_cells(one) for one in shown])
    more = [f"… and {hidden} more parts"] if hidden else []
    return [fitted(line, columns) for line in [*table, *more, total(views)]]


def total(views: Sequence[PartView]) -> str:
    """Return the line about all parts: cases done, states, cost and time left."""
    cases, done = sum(len(one.part.cases) for one in views), sum(one.finished for one in views)
    filled = _BAR * done // cases if cases else _BAR
    phases = Counter(one.phase for one in views)
    states = ", ".join(f"{number} {phase}" for phase, number in sorted(phases.items()))
    cost = sum(one.cost_usd for one in views)
    left = left_s(views)
    facts = [
        f"[{'#' * filled}{'-' * (_BAR - filled)}] {done} of {cases} cases",
        f"parts: {states}",
        *([f"${cost:.2f}"] if cost else []),
        *([f"about {duration(left)} left"] if left else []),
    ]
    return "; ".join(facts)


def _cells(one: PartView) -> list[str]:
    return [
        one.name,
        one.phase,
        f"{one.finished}/{len(one.part.cases)}",
        f"${one.cost_usd:.2f}" if one.cost_usd else "",
        f"{duration(one.left_s)} left" if one.left_s else "",
        f"job {one.go}" if one.go > 1 else "",
        one.why,
    ]


def _aligned(rows: Sequence[list[str]]) -> list[str]:
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row: list[str], widths: list[int]) -> list[str]:
    return [cell + " " * (space - width(cell)) for cell, space in zip(row, widths, strict=True) if space]
