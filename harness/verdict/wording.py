"""Says a verdict in a sentence."""

from __future__ import annotations

from harness.verdict.comparison import Verdict
from harness.verdict.evidence import Evidence
from harness.verdict.rules import Rules
from harness.verdict.trials import Measure


def reason_for(verdict: Verdict, found: Evidence, measure: Measure, rules: Rules, adjusted: float) -> str:
    """Return why a tested comparison has this verdict, and what it could have seen."""
    match verdict:
        case Verdict.WORSE | Verdict.BETTER:
            plain = found.p_worse if verdict is Verdict.WORSE else found.p_better
            return f"{found.test}: p = {plain:.2g}, adjusted {adjusted:.2g}"
        case Verdict.SAME:
            return f"within {_margin(measure, rules)} (p = {found.p_same:.2g})"
        case _:
            plain = min(found.p_worse, found.p_better)
            return f"{found.test}: p = {plain:.2g}, adjusted {adjusted:.2g}; {seen(found, measure, rules)}"


def seen(found: Evidence, measure: Measure, rules: Rules) -> str:
    """Return the smallest change that the test would have found."""
    change = "drop" if measure is Measure.SOLVE_RATE else "rise"
    if found.detectable is None:
        few = "nights or programs" if measure is Measure.SECONDS else "programs"
        return f"with so few {few} no {change} would be found"
    size = f"{found.detectable:.2f}" if measure is Measure.SOLVE_RATE else f"{found.detectable:.0%}"
    return f"a {change} of {size} is found with {rules.power:.0%} chance"


def _margin(measure: Measure, rules: Rules) -> str:
    return f"±{rules.margin:.2f}" if measure is Measure.SOLVE_RATE else f"±{rules.ratio_margin:.0%}"
