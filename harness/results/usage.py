"""Adds up what sessions used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from harness.results.record import Attempt, CaseUsage, Record, UsageTotals


def total_usage(attempts: Iterable[Attempt]) -> CaseUsage:
    """Return the usage of all attempts together."""
    return added([attempt.usage for attempt in attempts])


def added(usages: Sequence[CaseUsage]) -> CaseUsage:
    """Return the sum of several usages. A sum is null when one of its parts is not known.

    A session whose process was killed could not report what it used. So the sum of the reports is null if one is
    missing although the gateway has answered its session.
    """
    silent = any(usage.reported is None and usage.metered is not None and usage.metered.turns for usage in usages)
    return CaseUsage(
        reported=None if silent else _sum([usage.reported for usage in usages]),
        metered=_sum([usage.metered for usage in usages]),
    )


def own_usage(record: Record) -> CaseUsage:
    """Return what the session of a record used, without the earlier sessions of its case.

    A comparison takes this, because an earlier session that was killed says nothing about the agent.
    """
    return total_usage(record.attempts) if record.earlier else record.usage


def total(numbers: Sequence[float | None]) -> float | None:
    """Return the sum, or `None` if any number is unknown or there is none."""
    return None if None in numbers or not numbers else sum(filter(None, numbers))


def _sum(totals: Sequence[UsageTotals | None]) -> UsageTotals | None:
    """Return the sum for each field. Each attempt with a response must know a count, or the sum does not."""
    told = [usage for usage in totals if usage is not None]
    if not told:
        return None
    sums = {
        name: total([value for usage in told if (value := getattr(usage, name)) is not None or usage.turns])
        for name in UsageTotals.__struct_fields__
    }
    return msgspec.convert(sums, UsageTotals)
