"""Which trials of the baseline may be compared with the new ones, and what stands in the way."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from harness.verdict.trials import Trial

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


class ConditionChange(Struct, frozen=True):
    """A condition that differs, and its values on both sides. A value is null if it is not known.

    As text, it shows the first 12 digits of a SHA-256.
    """

    name: str
    base: tuple[str | None, ...]
    new: tuple[str | None, ...]

    def __str__(self) -> str:
        return f"{self.name} ({_shown(self.base)} → {_shown(self.new)})"


class Comparable(Struct, frozen=True):
    """The trials of the baseline under the conditions of the new ones.

    `differing` names what stands in the way; it is empty if anything can be compared. `drift` names the differences
    that are allowed. `left_out` counts the trials of the baseline under other conditions.
    """

    base: list[Trial]
    differing: tuple[ConditionChange, ...] = ()
    drift: tuple[ConditionChange, ...] = ()
    left_out: int = 0


def comparable(base: Sequence[Trial], new: Sequence[Trial], allow: Collection[str]) -> Comparable:
    """Return the trials of the baseline that can be compared with the new trials of the same case.

    A baseline of several nights may contain a change. Then only the nights after it count. Trials that differ from
    each other on the new side can be compared with nothing.
    """
    names = {name for trial in (*base, *new) for name in trial.conditions}
    strict, loose = names - set(allow), names & set(allow)
    if changes(new, new, strict):
        return Comparable([], differing=changes(base, new, strict), left_out=len(base))
    equal = [trial for trial in base if not changes([trial], new, strict)]
    if not equal:
        return Comparable([], differing=changes(base, new, strict), left_out=len(base))
    return Comparable(equal, drift=changes(equal, new, loose), left_out=len(base) - len(equal))


def changes(base: Sequence[Trial], new: Sequence[Trial], names: Iterable[str]) -> tuple[ConditionChange, ...]:
    """Return the conditions that have more than one value in both sets of trials together, by name.

    A missing trial may have stopped before a condition was known. What it does not know is no difference.
    """
    found = []
    for name in sorted(names):
        sides = [tuple(sorted(_values(side, name), key=str)) for side in (base, new)]
        if len({*sides[0], *sides[1]}) > 1:
            found.append(ConditionChange(name, *sides))
    return tuple(found)


def _values(trials: Iterable[Trial], name: str) -> set[str | None]:
    found = ((trial.conditions.get(name), trial.missing) for trial in trials)
    return {value for value, missing in found if value is not None or not missing}


def _shown(values: Iterable[str | None]) -> str:
    return ", ".join("unknown" if value is None else _DIGEST.sub(r"\1…", value) for value in values)
