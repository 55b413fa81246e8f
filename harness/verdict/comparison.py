"""What the gate says: one `Comparison` for each case and each group, by one measure."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from harness.verdict.conditions import ConditionChange
from harness.verdict.evidence import Evidence
from harness.verdict.trials import Measure


class Verdict(StrEnum):
    """What a comparison with a baseline says. `INCOMPARABLE`, `NEW` and `GONE` need no test."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"
    NEW = "new"
    GONE = "gone"


class Side(Struct, frozen=True, kw_only=True):
    """One run in a comparison.

    `mean` is null if nothing was measured. That of a group gives each of its `cases` the same weight. `missing` counts
    the replicates that left nothing to grade.
    """

    mean: float | None
    programs: int
    missing: int
    cases: int = 1


class Comparison(Struct, frozen=True, kw_only=True):
    """The verdict on a case or a group by one measure, and everything that it rests on.

    `level` is `case`, `suite`, `backend`, `model` or `environment`. `evidence` is null if nothing was tested.
    `adjusted_worse` and `adjusted_better` are its p-values after Benjamini-Hochberg. `bounds` are the lowest and the
    highest difference of the solve rate that are possible if the missing replicates had been graded; null if none is
    missing. `differing` names the conditions that make it incomparable, and `drift` those that differ and are allowed.
    `left_out` counts the trials of the baseline under other conditions. `lost` and `won` are the indices of the
    episodes that flipped, for one program on the same episodes. `reason` is a sentence for people.
    """

    level: str
    name: str
    measure: Measure
    verdict: Verdict
    reason: str
    base: Side
    new: Side
    evidence: Evidence | None = None
    adjusted_worse: float | None = None
    adjusted_better: float | None = None
    bounds: tuple[float, float] | None = None
    differing: tuple[ConditionChange, ...] = ()
    drift: tuple[ConditionChange, ...] = ()
    left_out: int = 0
    lost: tuple[int, ...] = ()
    won: tuple[int, ...] = ()
