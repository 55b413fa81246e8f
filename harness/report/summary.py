"""The summary of a run in Markdown, as GitHub Actions shows it for a job (`$GITHUB_STEP_SUMMARY`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from harness.report.table import named, outcome, seconds, shown, solve_rate, used, why
from harness.results.record import Record
from harness.results.record_builder import WORST_FIRST

OUTCOMES = ("passed", "failed", "error", "skipped")

_HEAD = ("case", "outcome", "solve rate", "turns", "tokens", "cost $", "seconds", "why")
_RULE = "|---|---|--:|--:|--:|--:|--:|---|"


def markdown(records: Sequence[Record]) -> list[str]:
    """Return lines of Markdown: the totals, a table with one row for each session, and why cases were skipped."""
    ran = [record for record in records if record.outcome != "skipped"]
    return [
        f"**{_counts(records)}** · {_totals(ran)}",
        *_note(ran),
        "",
        _cells(_HEAD),
        _RULE,
        *(_cells(_row(record)) for record in sorted(ran, key=_order)),
        *_skipped(records),
    ]


def _counts(records: Iterable[Record]) -> str:
    """Count the cases by their outcomes. A case with several sessions has the worst outcome of their last tries."""
    last: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda record: record.try_number):
        last[record.case.id, record.session or record.artifacts or str(len(last))] = record
    outcomes: dict[str, list[str]] = {}
    for (case, _), record in last.items():
        outcomes.setdefault(case, []).append(record.outcome)
    counts = Counter(min(of_one, key=WORST_FIRST.index) for of_one in outcomes.values())
    known = {case for (case, _), record in last.items() if record.known_failure is not None}
    as_known = sum(min(outcomes[case], key=WORST_FIRST.index) == "failed" for case in known)
    noted = {"failed": f" ({as_known} known)" if as_known else ""}
    return ", ".join(f"{counts[name]} {name}{noted.get(name, '')}" for name in OUTCOMES if counts[name])


def _totals(ran: Iterable[Record]) -> str:
    """Return the sums over the cases that ran. What is not known is left out."""
    usages = [usage for record in ran if (usage := used(record))]
    total = sum(filter(None, map(tokens, ran)))
    costs = [usage.cost_usd for usage in usages if usage.cost_usd is not None]
    time = sum(filter(None, map(seconds, ran)))
    turns = sum(usage.turns for usage in usages)
    cost = f"$ {sum(costs):.4f}" if costs else "cost unknown"
    partly = f" (known for {len(costs)} of {len(usages)} cases)" if 0 < len(costs) < len(usages) else ""
    return f"{turns:,} turns · {total:,} tokens · {cost}{partly} · {time / 60:.1f} minutes in cases"


def _note(ran: Iterable[Record]) -> list[str]:
    scripted = sum(record.scripted for record in ran)
    if not scripted:
        return []
    return ["", f"{scripted} of these cases played a script or a cassette. They measure the pipeline, not a model."]


def _skipped(records: Iterable[Record]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for record in sorted(records, key=_order):
        if record.outcome == "skipped":
            reasons.setdefault(record.explanation, []).append(record.case.id)
    lines = [f"- {escape(reason)}: {', '.join(map(escape, cases))}" for reason, cases in reasons.items()]
    return ["", "Skipped:", "", *lines] if lines else []


def _row(record: Record) -> tuple[str, ...]:
    usage = used(record)
    return (
        named(record),
        outcome(record),
        solve_rate(record),
        shown(usage.turns if usage else None, ","),
        shown(tokens(record), ","),
        shown(usage.cost_usd if usage else None, ".4f"),
        shown(seconds(record), ".1f"),
        why(record),
    )


def tokens(record: Record) -> int | None:
    """Return the input and output tokens together, with cached input, or `None` if they are not known."""
    usage = used(record)
    if usage is None:
        return None
    kinds = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    known = [number for number in kinds if number is not None]
    return sum(known) if known else None


def _order(record: Record) -> tuple[int, str, str, int]:
    """Return the sort key. Sessions that went wrong come first."""
    wrong = record.outcome in {"failed", "error"}
    return (0 if wrong else 1), record.case.id, record.session, record.try_number


def _cells(row: Iterable[str]) -> str:
    return f"| {' | '.join(map(escape, row))} |"


def escape(text: str) -> str:
    """Return the text on one line, escaped so that Markdown shows it as it is."""
    printable = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return re.sub(r"([\\`*_\[\]<>|~#&$])", r"\\\1", printable)
