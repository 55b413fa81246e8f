"""What a record says in `report.user_properties`, which JUnit XML and other reports of pytest show."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.report.summary import tokens
from harness.report.table import seconds, used
from harness.results.record import Record

_Z = 1.959963984540054
"""The quantile of the normal distribution for an interval of 95 %."""


def properties(record: Record, folder: Path, before: Iterable[tuple[str, Any]] = ()) -> list[tuple[str, Any]]:
    """Return the properties of a test: `before` without ours, such as those of an earlier try, and then ours.

    What was not measured is left out. `folder` is the folder of the case.
    """
    score, usage, names = record.score, used(record), record.case
    low, high = (None, None) if score is None else wilson(score.solved, score.episodes)
    time, known = seconds(record), None if usage is None else tokens(record)
    found = {
        "case": names.id,
        "backend": names.backend,
        "model": names.model,
        "environment": names.environment,
        "replicate": names.replicate,
        "solve_rate": None if score is None else score.solve_rate,
        "solve_rate_low": low if low is None else round(low, 4),
        "solve_rate_high": high if high is None else round(high, 4),
        "ending": record.ending.value,
        "cause": record.cause.value,
        "known_failure": None if record.known_failure is None else record.known_failure.told,
        "turns": None if usage is None else usage.turns,
        "tokens": known,
        "cost_usd": None if usage is None else usage.cost_usd,
        "seconds": None if time is None else round(time, 3),
        "folder": None if record.artifacts is None else str(folder),
    }
    others = [(name, value) for name, value in before if name not in found]
    return others + [(name, value) for name, value in found.items() if value is not None]


def wilson(solved: int, episodes: int) -> tuple[float, float]:
    """Return the interval that holds the true solve rate with a confidence of 95 %, by Wilson's score.

    Raise `ValueError` if there are no episodes.
    """
    if episodes < 1:
        raise ValueError("there are no episodes")
    share, spread = solved / episodes, _Z * _Z / episodes
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / episodes + spread / (4 * episodes))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
