"""The gate: what changed between two runs, for each case and for each group of cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from harness.verdict.comparison import Comparison, Verdict
from harness.verdict.discovery import PValue, discovered, divided
from harness.verdict.evidence import Evidence, evidence, evidence_by_looks
from harness.verdict.matched import Matched, bounds, match, shared_spread, side
from harness.verdict.rules import Rules
from harness.verdict.spread import Spread
from harness.verdict.summaries import LEVELS, groups
from harness.verdict.trials import Measure, Trial
from harness.verdict.wording import reason_for

RATES = (Measure.SOLVE_RATE,)
COSTS = (Measure.COST, Measure.TURNS, Measure.TOKENS, Measure.SECONDS)


class Hypothesis(Struct, frozen=True):
    """What is tested: a case or a group, by one measure."""

    level: str
    name: str
    measure: Measure

    @property
    def added(self) -> bool:
        """Whether replicates count that were added to a case because it was undecided.

        They count for this case alone. More seconds of the same night say nothing about how much nights differ.
        """
        return self.level == "case" and self.measure is not Measure.SECONDS


class Adjusted(Struct, frozen=True):
    """The p-values of one comparison after Benjamini-Hochberg and the division between groups and cases."""

    worse: float
    better: float


Tested = Mapping[Hypothesis, Evidence]
Members = Mapping[Hypothesis, Sequence[Matched]]


def compare(
    base: Iterable[Trial], new: Iterable[Trial], rules: Rules, families: Iterable[Sequence[Measure]] = (RATES, COSTS)
) -> list[Comparison]:
    """Return the verdicts of a run against a baseline: groups first, then cases, for each measure.

    The baseline may be several runs. Solve rates share one allowance for false alarms, and cost, turns, tokens and
    seconds share another. `families` are the measures to compare by; one family does not depend on the other.
    """
    cases = match(base, new, rules)
    spread = shared_spread(cases)
    return [found for measures in families for found in _family(cases, measures, spread, rules)]


def _family(cases: Sequence[Matched], measures: Sequence[Measure], spread: Spread, rules: Rules) -> list[Comparison]:
    """Return the verdicts by measures that share an allowance."""
    grouped: Members = {
        Hypothesis(level, name, measure): [one for one in cases if one.key in keys]
        for measure in measures
        for level in LEVELS
        for name, keys in groups((one.key for one in cases), level).items()
    }
    single: Members = {Hypothesis("case", str(one.key), measure): [one] for measure in measures for one in cases}
    of_cases = _test_cases(single, spread, rules)
    shares = divided([found.least_worse for found in of_cases.values()], rules.false_discovery)
    of_groups = _test_groups(grouped, spread, rules, rules.false_discovery * shares.groups)
    inside = {name: [Hypothesis("case", str(one.key), name.measure) for one in grouped[name]] for name in of_groups}
    p_values = _adjust(of_groups, of_cases, inside, rules.false_discovery)
    found = {name: (members, of_groups.get(name), p_values.get(name)) for name, members in grouped.items()}
    found |= {name: (members, of_cases.get(name), p_values.get(name)) for name, members in single.items()}
    return [
        _comparison(name, members, tested, p, rules)
        for name, (members, tested, p) in found.items()
        if tested or name.measure is Measure.SOLVE_RATE
    ]


def _test_groups(grouped: Members, spread: Spread, rules: Rules, allowance: float) -> Tested:
    """Test each group that has a testable case. All groups together have this allowance.

    Replicates that were added to a case do not count here: it got them because its first ones were bad.
    """
    ready = {}
    for name, members in grouped.items():
        found = [one.contrast(name.measure, added=name.added) for one in members if one.verdict is None]
        if any(found):
            ready[name] = [one for one in found if one]
    level = allowance / max(1, len(ready))
    return {name: evidence(contrasts, name.measure, spread, rules, level=level) for name, contrasts in ready.items()}


def _test_cases(single: Members, spread: Spread, rules: Rules) -> Tested:
    ready = {}
    for name, [one] in single.items():
        if one.verdict is None and (found := one.contrast(name.measure, added=name.added)):
            ready[name] = found
    level = rules.family / max(1, len(ready))
    return {
        name: evidence_by_looks(found, name.measure, spread, rules, rules.looks, level=level)
        if rules.looks and name.added and not found.paired
        else evidence([found], name.measure, spread, rules, level=level)
        for name, found in ready.items()
    }


def _adjust(
    of_groups: Tested, of_cases: Tested, inside: Mapping[Hypothesis, Sequence[Hypothesis]], level: float
) -> dict[Hypothesis, Adjusted]:
    """Return the adjusted p-values. Each direction has the whole allowance."""
    worse = discovered(
        {name: found.p_worse for name, found in of_groups.items()},
        {name: PValue(found.p_worse, found.least_worse) for name, found in of_cases.items()},
        inside,
        level,
    )
    better = discovered(
        {name: found.p_better for name, found in of_groups.items()},
        {name: PValue(found.p_better, found.least_better) for name, found in of_cases.items()},
        inside,
        level,
    )
    return {name: Adjusted(worse[name], better[name]) for name in worse}


def _comparison(
    name: Hypothesis, members: Sequence[Matched], tested: Evidence | None, p: Adjusted | None, rules: Rules
) -> Comparison:
    """Put together the verdict on a case or a group, and what it rests on."""
    verdict, reason = _decide(tested, p, name.measure, rules) if tested and p else _untested(members)
    used = [one for one in members if one.verdict is None] or members
    [only] = members if name.level == "case" else [None]
    paired = only.contrast(name.measure, added=name.added) if only and tested else None
    flips = paired.paired if paired else None
    news = [one.new if name.added else one.planned for one in used]
    return Comparison(
        level=name.level,
        name=name.name,
        measure=name.measure,
        verdict=verdict,
        reason=reason,
        base=side([one.base for one in used], name.measure),
        new=side(news, name.measure),
        evidence=tested,
        adjusted_worse=p.worse if p else None,
        adjusted_better=p.better if p else None,
        bounds=bounds(used)
        if name.measure is Measure.SOLVE_RATE and all(one.base and one.new for one in used)
        else None,
        differing=only.kept.differing if only else (),
        drift=only.kept.drift if only else (),
        left_out=sum(one.kept.left_out for one in used),
        lost=flips.lost if flips else (),
        won=flips.won if flips else (),
    )


def _decide(found: Evidence, p: Adjusted, measure: Measure, rules: Rules) -> tuple[Verdict, str]:
    """Return the verdict of a comparison that was tested, and why. A proven difference within the margin is "same"."""
    if found.p_same is not None and found.p_same <= rules.equivalence:
        verdict = Verdict.SAME
    elif p.worse <= rules.false_discovery:
        verdict = Verdict.WORSE
    elif p.better <= rules.false_discovery:
        verdict = Verdict.BETTER
    else:
        verdict = Verdict.INCONCLUSIVE
    adjusted = p.better if found.p_better < found.p_worse else p.worse
    return verdict, reason_for(verdict, found, measure, rules, adjusted)


def _untested(members: Sequence[Matched]) -> tuple[Verdict, str]:
    """Return the verdict of a case that was not tested, or of a group without a testable case."""
    verdicts = {one.verdict for one in members if one.verdict}
    if len(members) == 1 or len(verdicts) == 1:
        return members[0].verdict or Verdict.INCONCLUSIVE, members[0].reason
    if Verdict.INCOMPARABLE in verdicts:
        differing = sorted({str(change) for one in members for change in one.kept.differing})
        return Verdict.INCOMPARABLE, "different conditions: " + "; ".join(differing)
    return Verdict.INCONCLUSIVE, "; ".join(sorted({one.reason for one in members}))
