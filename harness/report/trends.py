"""Shows how cases went over time: a row for each run, or for each case, and a sparkline where it can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from harness.report.table import shown
from harness.verdict.series import TRENDS, Point, Series

_BARS = "▁▂▃▄▅▆▇█"
_LABELS = {
    "solve_rate": "solve rate",
    "cost_usd": "cost $",
    "turns": "turns",
    "seconds": "seconds",
    "flake_rate": "flake rate",
}
_FORMS = {"solve_rate": ".2f", "cost_usd": ".4f", "turns": ".1f", "seconds": ".1f", "flake_rate": ".2f"}
_SHORTEST = 8
"""How many runs a sparkline shows even if the terminal is too narrow."""

_BESIDE = 40
"""How many columns the text beside a sparkline takes."""

_SHARES = frozenset({"solve_rate", "flake_rate"})


def series_lines(series: Series, *, width: int | None) -> list[str]:
    """Return a row for each run, oldest first. If there is a `width`, add a sparkline for each measure that fits in."""
    points = series.points
    head = ("run", "cases", "sessions", "missing", *(_LABELS[name] for name in TRENDS))
    rows = [
        (_named(point), *map(str, (point.cases, point.sessions, point.missing)), *_cells(point)) for point in points
    ]
    told = [f"{series.kind} {series.name}: {_span(series)}", "", *_table([head, *rows])]
    if width is not None and len(points) > 1:
        told += ["", *(line for name in TRENDS for line in _trend(name, points, width))]
    return told


def overview_lines(series: Sequence[Series], *, width: int | None) -> list[str]:
    """Return a row for a suite and one for each of its cases: means over the runs, beside the newest solve rate.

    The first series is that of the suite. If there is a `width`, add a sparkline of the solve rates.
    """
    whole = series[0]
    head = ("case", "runs", "newest", *(_LABELS[name] for name in TRENDS))
    rows = [
        (
            "all" if one is whole else one.name,
            str(len(one.points)),
            shown(one.points[-1].solve_rate, _FORMS["solve_rate"]),
            *(shown(_mean(name, one.points), _FORMS[name]) for name in TRENDS),
        )
        for one in series
    ]
    table = _table([head, *rows])
    if width is not None:
        room = max(width - len(table[0]) - 2, _SHORTEST)
        bars = (sparkline(_values("solve_rate", one.points)[-room:], most=1.0) for one in series)
        table[1:] = [f"{row}  {bar}" for row, bar in zip(table[1:], bars, strict=True)]
    return [f"{f'suite {whole.name}' if whole.name else 'no suite'}: {_span(whole)}", "", *table]


def sparkline(values: Iterable[float | None], most: float) -> str:
    """Return a bar for each value, between 0 and `most`. A value that is not known is a space."""
    top = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[round(top * min(max(value / most, 0.0), 1.0)) if most > 0 else 0]
        for value in values
    )


def can_draw(encoding: str) -> bool:
    """Return whether a stream with this encoding can show a sparkline."""
    try:
        _BARS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _trend(name: str, points: Sequence[Point], width: int) -> list[str]:
    """Return the sparkline of a measure. Bars start at 0, so that a small change looks small."""
    values = _values(name, points[-max(width - _BESIDE, _SHORTEST) :])
    known = [value for value in values if value is not None]
    if not known:
        return []
    form, most = _FORMS[name], max(known)
    bars = sparkline(values, 1.0 if name in _SHARES else most)
    return [f"{_LABELS[name]:10}  {bars}  min {min(known):{form}}, max {most:{form}}"]


def _span(series: Series) -> str:
    """Return the number of runs in a series, their suite, and the first and last day."""
    points = series.points
    suite = f" of suite {series.suite}" if series.suite and series.kind != "suite" else ""
    first, last = points[0].began[:10], points[-1].began[:10]
    when = f"on {first}" if first == last else f"from {first} to {last}"
    return f"{len(points)} run{'' if len(points) == 1 else 's'}{suite}, {when}"


def _named(point: Point) -> str:
    return f"{point.run} ({', '.join(f'tag:{tag}' for tag in point.tags)})" if point.tags else point.run


def _cells(point: Point) -> list[str]:
    return [shown(getattr(point, name), _FORMS[name]) for name in TRENDS]


def _values(name: str, points: Iterable[Point]) -> list[float | None]:
    return [getattr(point, name) for point in points]


def _mean(name: str, points: Iterable[Point]) -> float | None:
    known = [value for value in _values(name, points) if value is not None]
    return fmean(known) if known else None


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows in columns. All but the first are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned: Sequence[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    return [
        "  ".join(align(cell, width) for align, cell, width in zip(aligned, row, widths, strict=True)).rstrip()
        for row in rows
    ]
