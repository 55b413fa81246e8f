"""The rule `solved_when` of an environment's configuration: when an episode counts as solved.

| rule | an episode is solved |
|---|---|
| `terminated` | as the adapter says, by `Step.terminated` |
| `info.NAME` | as soon as this entry of a step's info is true |
| `info.NAME OP NUMBER` | as soon as the comparison holds for this entry |
| `return OP NUMBER` | if the comparison holds for the sum of its rewards when it ends, also by `max_steps` |

OP is one of `>=`, `<=`, `>`, `<`, `==` and `!=`. Nothing is evaluated as code.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

TERMINATED = "terminated"

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
_COMPARISON = r"(?P<sign>>=|<=|>|<|==|!=)\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_RULE = re.compile(
    rf"info\.(?P<name>[^\W\d][\w-]*)(?:\s*{_COMPARISON})?|return\s*{_COMPARISON.replace('P<', 'P<return_')}", re.ASCII
)


class SolvedRule(NamedTuple):
    """A rule about an entry of the info, or about the return of an episode if `name` is `None`.

    Without a `sign`, the entry itself must be true.
    """

    text: str
    name: str | None
    sign: str | None
    number: float

    def holds(self, value: Any) -> bool:
        """Return whether the rule holds for a value. It holds for no value that is not one number, true or false."""
        number = _number(value)
        if number is None:
            return False
        return bool(number) if self.sign is None else _OPERATORS[self.sign](number, self.number)

    def __str__(self) -> str:
        """Return the rule as a part of a sentence: "An episode is solved …"."""
        if self.name is None:
            return f"if its return, the sum of its rewards, is {self.sign} {self.number:g} when it ends"
        compared = "is true" if self.sign is None else f"is {self.sign} {self.number:g}"
        return f'as soon as `info["{self.name}"]` of a step {compared}'


def doubt(rule: SolvedRule, told: Collection[str]) -> str | None:
    """Return why a rule may be wrong: the info of no step had its entry. Return `None` if there is no such reason.

    `told` are the names of all entries that the steps of the graded episodes had. There must have been a step.
    """
    if rule.name is None or rule.name in told:
        return None
    had = ", ".join(sorted(told)) or "nothing"
    return f"solved_when: {rule.text}: the info of no step had {rule.name}; it had {had}"


def parse_rule(text: str) -> SolvedRule | None:
    """Return the rule that a text states, or `None` for `terminated`. Raise `ValueError` for any other text."""
    stripped = text.strip()
    if stripped == TERMINATED:
        return None
    match = _RULE.fullmatch(stripped)
    number = float((match["number"] or match["return_number"] or 0) if match else 0)
    if match is None or not math.isfinite(number):
        raise ValueError(
            f"{text!r} is not a rule: write terminated, info.NAME, info.NAME OP NUMBER or return OP NUMBER, "
            f"as in info.is_success or return >= 200; OP is one of {' '.join(_OPERATORS)}"
        )
    return SolvedRule(stripped, match["name"], match["sign"] or match["return_sign"], number)


def _number(value: Any) -> float | None:
    if getattr(value, "size", 0) == 1:  # an array of NumPy, or one of its numbers
        value = value.item()
    return float(value) if isinstance(value, bool | int | float) else None
