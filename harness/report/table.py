"""The table at the end of a run, and how it words and formats what it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from harness.endings import Ending
from harness.results.record import Record, UsageTotals

_FEW = 3
_WHY = 300

_HEAD = ("case", "outcome", "solve rate", "turns", "cost $", "seconds", "why")


def table(records: Iterable[Record]) -> list[str]:
    """Return one line for each session.

    It has the outcome, solve rate, turns, cost, seconds, and the ending unless that is `finished`.

    When more than three cases were skipped for the same reason, the table shows them as one line.
    """
    entries = sorted(map(_table_row, records), key=lambda entry: entry.order)  # many records would not fit into memory
    skips = Counter(entry.skipped for entry in entries if entry.skipped is not None)
    many = {reason: number for reason, number in skips.items() if number > _FEW}
    rows = [_HEAD, *(entry.row for entry in entries if entry.skipped not in many)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    grouped = [f"{number} skipped: {' '.join(reason.split())}" for reason, number in many.items()]
    return [*(_line(row, widths) for row in rows), *grouped]


def used(record: Record) -> UsageTotals | None:
    """Return what a case used: by the gateway's ledger if there is one, otherwise as its CLI reports it."""
    return record.usage.metered or record.usage.reported


def seconds(record: Record) -> float | None:
    """Return how many seconds a case took, waits included, as far as it is known, or `None` if nothing is known."""
    timing = record.timing
    if timing.total_s is not None:
        return timing.total_s
    known = [s for s in (timing.setup_s, timing.agent_s, timing.evaluation_s) if s is not None]
    return sum(known) if known else None


def named(record: Record) -> str:
    """Return the name of the session, with the number of the try if a plugin reran its tests.

    The first session of a case has the name of the case, and further ones are numbered: `CASE.2`.
    """
    name = record.session or record.case.id
    return name if record.try_number == 1 else f"{name} (try {record.try_number})"


def solve_rate(record: Record) -> str:
    """Return the share of episodes that were solved, or a dash if nothing was graded.

    If the number of objects differs between episodes, the shares for design and held-out numbers follow.
    """
    score = record.score
    if score is None:
        return "-"
    parts = {"design": score.design_rate, "held-out": score.held_out_rate}
    told = ", ".join(f"{name} {rate:.2f}" for name, rate in parts.items() if rate is not None)
    return f"{score.solve_rate:.2f}{f' ({told})' if told else ''}"


def shown(number: float | None, form: str = "") -> str:
    """Return the number in this format, or a dash for `None`."""
    return "-" if number is None else format(number, form)


def why(record: Record) -> str:
    """Return, on one line, the ending unless it is `finished`, and everything that is odd about the result."""
    ending = record.ending.value if record.outcome == "passed" else _explained(record)
    ending = " ".join(ending.split())  # the remedy may be on a second line
    odd = [
        f"{one.field}: {one.reported} reported, {one.metered} metered"
        for one in record.differences
        if one.explained is None
    ]
    if record.played_from is not None:
        odd.append(f"a cassette of {record.played_from}")
    warnings = [" ".join(warning.split()) for warning in record.warnings]
    ending = "" if ending == "finished" else ending[:_WHY]
    return "; ".join(filter(None, [ending, *_known(record), *odd, *warnings]))


def outcome(record: Record) -> str:
    """Return the outcome, and whether it is a known failure."""
    known = record.known_failure is not None and record.outcome == "failed"
    return "failed (known)" if known else record.outcome


def _known(record: Record) -> list[str]:
    """Return what to know about the known failure that a record has."""
    known = record.known_failure
    if known is None or record.outcome not in {"passed", "failed"}:
        return []
    told = " ".join(known.told.split())
    return [f"known failure: {told}" if record.outcome == "failed" else f"passes, but is a known failure: {told}"]


def _explained(record: Record) -> str:
    """Return the ending with its explanation. A failed grade of a session that simply ended explains itself."""
    if record.outcome == "failed" and record.ending is Ending.FINISHED:
        return record.explanation
    return f"{record.ending.value}: {record.explanation}"


class _TableRow(Struct, frozen=True):
    """A row of the table, what it is sorted by, and the reason if the case was skipped."""

    order: tuple[str, str, int]
    row: tuple[str, ...]
    skipped: str | None


def _table_row(record: Record) -> _TableRow:
    order = (record.case.id, record.session, record.try_number)
    return _TableRow(order, _row(record), record.explanation if record.outcome == "skipped" else None)


def _row(record: Record) -> tuple[str, ...]:
    usage = used(record)
    return (
        named(record),
        outcome(record),
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
