"""The table that closes a run, and the words in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.results.record import Record, UsageTotals

_FEW = 3
_WHY = 300

_HEAD = ("case", "outcome", "solve rate", "turns", "cost $", "seconds", "why")


def table(records: Iterable[Record]) -> list[str]:
    """One line a case: outcome, solve rate, turns, cost, seconds, and the ending where it is not `finished`.

    Of cases that were skipped for one reason, more than a few are one line below.
    """
    ordered = sorted(records, key=lambda r: r.case.id)
    skips = Counter(record.explanation for record in ordered if record.outcome == "skipped")
    many = {reason: number for reason, number in skips.items() if number > _FEW}
    shown_ones = [one for one in ordered if one.outcome != "skipped" or one.explanation not in many]
    rows = [_HEAD, *(_row(record) for record in shown_ones)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    grouped = [f"{number} skipped: {' '.join(reason.split())}" for reason, number in many.items()]
    return [*(_line(row, widths) for row in rows), *grouped]


def used(record: Record) -> UsageTotals | None:
    """What a case used: by the gateway's ledger, else as its CLI reports it."""
    return record.usage.metered or record.usage.reported


def seconds(record: Record) -> float | None:
    """How long a case took, as far as it is known."""
    timing = record.timing
    known = [s for s in (timing.setup_s, timing.agent_s, timing.evaluation_s) if s is not None]
    return sum(known) if known else None


def solve_rate(record: Record) -> str:
    """The share of episodes solved; a dash where nothing was graded."""
    return "-" if record.score is None else f"{record.score.solve_rate:.2f}"


def shown(number: float | None, form: str = "") -> str:
    """The number in this form; a dash for one that is not known."""
    return "-" if number is None else format(number, form)


def why(record: Record) -> str:
    """The ending where it is not `finished`, and all that is odd about the result, on one line."""
    ending = record.ending.value if record.outcome == "passed" else f"{record.ending.value}: {record.explanation}"
    ending = " ".join(ending.split())  # a remedy stands on a line of its own
    odd = [
        f"{one.field}: {one.reported} reported, {one.metered} metered"
        for one in record.differences
        if one.explained is None
    ]
    warnings = [" ".join(warning.split()) for warning in record.warnings]
    return "; ".join(["" if ending == "finished" else ending[:_WHY], *odd, *warnings]).removeprefix("; ")


def _row(record: Record) -> tuple[str, ...]:
    usage = used(record)
    return (
        record.case.id,
        record.outcome,
        solve_rate(record),
        shown(usage.turns if usage else None),
        shown(usage.cost_usd if usage else None, ".4f"),
        shown(seconds(record), ".1f"),
        why(record),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    numbers = range(2, 6)
    cells = [
        cell.rjust(width) if i in numbers else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
