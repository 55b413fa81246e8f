"""Until decided: which undecided case is worth another replicate."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from harness.verdict.comparison import Verdict
from harness.verdict.contrast import Contrast
from harness.verdict.evidence import p_now
from harness.verdict.gate import RATES, compare
from harness.verdict.matched import Matched, match, shared_spread
from harness.verdict.permutation import least_p
from harness.verdict.rules import Looks, Rules
from harness.verdict.spread import Spread
from harness.verdict.trials import CaseKey, Measure, Trial


class Advice(Struct, frozen=True):
    """Whether an undecided case is worth another replicate, and why."""

    key: CaseKey
    worth_it: bool
    reason: str


def until_decided(base: Sequence[Trial], new: Sequence[Trial], rules: Rules) -> list[Advice]:
    """Return the advice on each inconclusive case, the most promising first.

    Run one replicate of each case that is worth it, add the trials to `new`, and ask again, until no case is worth it.
    You may stop at any time: the verdicts of `compare` with the same rules pay for every look. Only the question
    whether a case is worse gets replicates. Raise `ValueError` if the rules have no looks.
    """
    if rules.looks is None:
        raise ValueError("until_decided needs rules with looks: how many replicates a case begins and ends with")
    undecided = {
        found.name
        for found in compare(base, new, rules, [RATES])
        if (found.level, found.verdict) == ("case", Verdict.INCONCLUSIVE)
    }
    matched = match(base, new, rules)
    tested = [one for one in matched if one.verdict is None]
    left = rules.looks.sessions(sum(len(one.planned) for one in matched))
    left -= sum(len(one.new) - len(one.planned) for one in matched)
    spread = shared_spread(matched)
    asked = [(_chance(one, spread), one) for one in matched if str(one.key) in undecided]
    result = []
    for p, one in sorted(asked, key=lambda pair: (pair[0], pair[1].key)):
        why_not = one.reason or _why_not(one, p, rules, rules.looks, len(tested))
        if not why_not and left <= 0:
            why_not = f"the budget of {rules.looks.budget:.0%} more sessions is used up"
        left -= not why_not
        result.append(Advice(one.key, not why_not, why_not or f"p = {p:.2g} so far is promising"))
    return result


def _chance(one: Matched, spread: Spread) -> float:
    """Return the plain p-value that a case is worse. Return 1 if it cannot be tested."""
    found = one.contrast(Measure.SOLVE_RATE, added=True) if one.verdict is None else None
    return p_now(found, spread) if found else 1.0


def _why_not(one: Matched, p: float, rules: Rules, looks: Looks, cases: int) -> str:
    """Return why another replicate of a testable case is not worth it. Return "" if it is."""
    found = one.contrast(Measure.SOLVE_RATE, added=True)
    if found is None or found.paired:
        return "each replicate has the same program"
    if len(one.new) >= looks.last:
        return f"it has {len(one.new)} replicates, and {looks.last} are the most"
    if p > (most := looks.promising_at(len(one.new))):
        return f"p is above {most:.2g} so far: it probably did not get worse"
    if _hopeless(found, looks, rules.family / cases):
        return f"even {looks.last} replicates against {len(found.base)} of the baseline could not decide it"
    return ""


def _hopeless(found: Contrast, looks: Looks, level: float) -> bool:
    """Return whether no result of the last look could be called worse, if this case is the only bad one."""
    return least_p([(len(found.base), looks.last)]) > level * looks.share(looks.last)
