"""The row that the page has for each case: what its tables, filters and charts need."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from harness.results.record import Record, Timing, UsageTotals
from harness.visible import visible

_EXPLAINED = 300
"""How many characters of an explanation a row has. The case's own view has all."""


class CaseRow(Struct, frozen=True, kw_only=True):
    """One session of a case.

    `key` is the place of its details, `case` the case without its replicate. `run` is the number of its run in the
    page. `solve_rate`, `cost_usd`, tokens and times are `None` if they are not known. Times are seconds: `model_s` of
    the model's answers, `experiment_s` of tool calls that ran Python or rendered, `tools_s` of the other tool calls,
    `other_s` of everything else (waits, set-up and grading).
    """

    key: str
    run: int
    id: str
    case: str
    backend: str
    model: str
    environment: str
    replicate: int
    started_at: str | None
    outcome: str
    ending: str
    cause: str
    why: str
    scripted: bool
    solve_rate: float | None
    solved: int | None
    episodes: int | None
    turns: int | None
    tool_calls: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    total_s: float | None
    model_s: float | None
    tools_s: float | None
    experiment_s: float | None
    other_s: float | None
    attempts: int
    warnings: int
    differences: int
    known_failure: bool


def case_row(record: Record, run: int, key: str) -> CaseRow:
    """Return the row of a record."""
    names, score, used, timing = record.case, record.score, usage_of(record), record.timing
    suffix = f"-r{names.replicate}"
    return CaseRow(
        key=key,
        run=run,
        id=visible(names.id),
        case=visible(names.id.removesuffix(suffix)),
        backend=visible(names.backend),
        model=visible(names.model),
        environment=visible(names.environment),
        replicate=names.replicate,
        started_at=record.started_at,
        outcome=record.outcome,
        ending=record.ending.value,
        cause=record.cause.value,
        why=visible(record.explanation)[:_EXPLAINED],
        scripted=record.scripted,
        solve_rate=score.solve_rate if score else None,
        solved=score.solved if score else None,
        episodes=score.episodes if score else None,
        turns=used.turns if used else None,
        tool_calls=used.tool_calls if used else None,
        input_tokens=_input(used),
        output_tokens=used.output_tokens if used else None,
        cost_usd=used.cost_usd if used else None,
        total_s=_rounded(timing.total_s),
        model_s=_rounded(timing.model_s),
        tools_s=_rounded(_less(timing.tools_s, timing.experiment_s)),
        experiment_s=_rounded(timing.experiment_s),
        other_s=_rounded(_other(timing)),
        attempts=len(record.attempts),
        warnings=len(record.warnings),
        differences=sum(one.explained is None for one in record.differences),
        known_failure=record.known_failure is not None,
    )


def usage_of(record: Record) -> UsageTotals | None:
    """Return what the ledger counted or, without one, what the CLI reports."""
    return record.usage.metered or record.usage.reported


def columns(rows: Sequence[CaseRow]) -> dict[str, list[object]]:
    """Return the rows as columns, which take less room as JSON."""
    return {name: [getattr(row, name) for row in rows] for name in CaseRow.__struct_fields__}


def _input(used: UsageTotals | None) -> int | None:
    if used is None or used.input_tokens is None:
        return None
    return used.input_tokens + (used.cache_read_tokens or 0) + (used.cache_write_tokens or 0)


def _other(timing: Timing) -> float | None:
    """Return the seconds of a case that neither the model nor its tools took."""
    if timing.total_s is None or timing.model_s is None:
        return None
    return max(0.0, timing.total_s - timing.model_s - (timing.tools_s or 0.0))


def _less(whole: float | None, part: float | None) -> float | None:
    return None if whole is None else max(0.0, whole - (part or 0.0))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
