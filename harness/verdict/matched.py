"""Puts the two runs side by side: which cases can be tested, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from harness.verdict.comparison import Side, Verdict
from harness.verdict.conditions import Comparable, comparable
from harness.verdict.contrast import Contrast, contrast
from harness.verdict.rules import Rules
from harness.verdict.spread import Spread, pooled_spread
from harness.verdict.trials import CaseKey, Measure, Trial, by_case, filled, graded, values


class Matched(Struct, frozen=True, kw_only=True):
    """One case in both runs.

    `verdict` and `reason` are set if no test is needed or possible. `base` holds the comparable trials of the baseline,
    and `planned` the new trials, both without those that a case got because it began badly and was undecided.
    """

    key: CaseKey
    base: list[Trial]
    new: list[Trial]
    planned: list[Trial]
    kept: Comparable
    verdict: Verdict | None = None
    reason: str = ""

    def contrast(self, measure: Measure, *, added: bool) -> Contrast | None:
        """Return the data of this case by one measure, with or without the trials that were added."""
        return contrast(self.base, self.new if added else self.planned, measure)

    def sides(self, measure: Measure) -> tuple[Side, Side]:
        """Return both sides by one measure."""
        return side([self.base], measure), side([self.new], measure)


def match(base: Iterable[Trial], new: Iterable[Trial], rules: Rules) -> list[Matched]:
    """Return each case of either run, in the order of their names."""
    before, after = by_case(base), by_case(new)
    return [_matched(key, before.get(key, []), after.get(key, []), rules) for key in sorted({*before, *after})]


def shared_spread(cases: Iterable[Matched]) -> Spread:
    """Return the spread between programs that all testable cases have in common.

    Both runs count together. So the scores of the permutation test do not depend on which run a program is from, and
    the test stays exact.
    """
    found = [one.contrast(Measure.SOLVE_RATE, added=False) for one in cases if one.verdict is None]
    return pooled_spread(one.programs() for one in found if one)


def side(cases: Sequence[Sequence[Trial]], measure: Measure) -> Side:
    """Return one side of a comparison. Each case has the same weight."""
    samples = [sample for trials in cases if (sample := values(trials, measure))]
    means = [sum(sample) / len(sample) for sample in samples]
    return Side(
        mean=sum(means) / len(means) if means else None,
        programs=sum(map(len, samples)),
        missing=sum(trial.missing for trials in cases for trial in trials),
        cases=len(cases),
    )


def bounds(cases: Sequence[Matched]) -> tuple[float, float] | None:
    """Return how far the difference of the solve rate could move if nothing were missing, averaged over the cases."""
    if not any(trial.missing for one in cases for trial in (*one.base, *one.new)):
        return None
    lowest = [filled(one.new, 0.0) - filled(one.base, 1.0) for one in cases]
    highest = [filled(one.new, 1.0) - filled(one.base, 0.0) for one in cases]
    return sum(lowest) / len(cases), sum(highest) / len(cases)


def _matched(key: CaseKey, base: list[Trial], new: list[Trial], rules: Rules) -> Matched:
    base = [trial for trial in base if not trial.added]
    planned = [trial for trial in new if not trial.added and (not rules.looks or trial.replicate <= rules.looks.first)]
    kept = comparable(base, new, rules.allow) if base and new else Comparable(base)
    verdict, reason = _untested(base, new, kept, rules)
    used = kept.base or base
    return Matched(key=key, base=used, new=new, planned=planned, kept=kept, verdict=verdict, reason=reason)


def _untested(base: list[Trial], new: list[Trial], kept: Comparable, rules: Rules) -> tuple[Verdict | None, str]:
    """Return the verdict of a case that is not tested, and why. Return null for a case that is."""
    if not base:
        return Verdict.NEW, "the baseline does not have this case"
    if not new:
        return Verdict.GONE, "the new run does not have this case"
    if kept.differing:
        return Verdict.INCOMPARABLE, "different conditions: " + "; ".join(map(str, kept.differing))
    for name, trials in (("baseline", kept.base), ("new run", new)):
        lost = [trial.ending for trial in trials if trial.missing]
        if len(lost) > rules.missing * len(trials) or not graded(trials):
            endings = ", ".join(f"{ending} {count}" for ending, count in sorted(Counter(lost).items()))
            return (
                Verdict.INCONCLUSIVE,
                f"{len(lost)} of {len(trials)} replicates of the {name} are missing ({endings})",
            )
    return None, ""
