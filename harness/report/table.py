"""The table that closes a run, and the words in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.results.record import Record

_HEAD = ("case", "outcome", "solve rate", "turns", "cost $", "seconds", "why")


def table(records: Iterable[Record]) -> list[str]:
    """One line a case: outcome, solve rate, turns, cost, seconds, and the ending where it is not `finished`."""
    rows = [_HEAD, *(_row(record) for record in sorted(records, key=lambda r: r.case.id))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return [_line(row, widths) for row in rows]


def _row(record: Record) -> tuple[str, ...]:
    usage = record.usage.metered or record.usage.reported
    timing = record.timing
    seconds = [s for s in (timing.setup_s, timing.agent_s, timing.evaluation_s) if s is not None]
    why = record.ending.value if record.outcome == "passed" else f"{record.ending.value}: {record.explanation}"
    odd = [
        f"{one.field}: {one.reported} reported, {one.metered} metered"
        for one in record.differences
        if one.explained is None
    ]
    why = " ".join(why.split())  # a remedy stands on a line of its own
    return (
        record.case.id,
        record.outcome,
        "-" if record.score is None else f"{record.score.solve_rate:.2f}",
        "-" if usage is None else str(usage.turns),
        "-" if usage is None or usage.cost_usd is None else f"{usage.cost_usd:.4f}",
        f"{sum(seconds):.1f}" if seconds else "-",
        "; ".join(["" if why == "finished" else why[:100], *odd]).removeprefix("; "),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    numbers = range(2, 6)
    cells = [
        cell.rjust(width) if i in numbers else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
