"""Which trials of the baseline may be compared with the new ones, and what stands in the way."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence, Set
from hashlib import sha256

from msgspec import Struct

from harness.results.conditions import OF_REQUESTS, OPTIONS
from harness.verdict.trials import Conditions, Trial

UNRECORDED = "unrecorded"
"""The condition that names what an older version of Proctor did not record."""

NOT_SET = "not set"
"""The value of an option that the configuration does not set."""

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_LONGEST = 80


class ConditionChange(Struct, frozen=True):
    """A condition that differs, and its values on both sides. A value is null if it is not known.

    As text, it shows the first 12 digits of a SHA-256, and the beginning of a long value.
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
    known = {name for trial in (*base, *new) for name in trial.conditions}
    before, now = ([_told(trial, known) for trial in trials] for trials in (base, new))
    names = known | {UNRECORDED}
    strict, loose = names - set(allow), names & set(allow)
    if _changes(now, now, strict):
        return Comparable([], differing=_changes(before, now, strict), left_out=len(base))
    equal = [index for index, told in enumerate(before) if not _changes([told], now, strict)]
    if not equal:
        return Comparable([], differing=_changes(before, now, strict), left_out=len(base))
    drift = _changes([before[index] for index in equal], now, loose)
    return Comparable([base[index] for index in equal], drift=drift, left_out=len(base) - len(equal))


def changes(base: Sequence[Trial], new: Sequence[Trial], names: Iterable[str]) -> tuple[ConditionChange, ...]:
    """Return the conditions of these names that have more than one value in both sets of trials together, by name."""
    known = {name for trial in (*base, *new) for name in trial.conditions}
    before, now = ([_told(trial, known) for trial in trials] for trials in (base, new))
    return _changes(before, now, names)


def _told(trial: Trial, known: Set[str]) -> Conditions:
    """Return what a trial tells of its conditions. `known` are the names of those that any trial tells.

    A missing trial may have stopped before a condition was known, and a session may have asked its model nothing. What
    they do not know is left out. What an older version did not record is one condition, `unrecorded`.
    """
    lacking = known - trial.conditions.keys()
    older = any(not name.startswith(OPTIONS) for name in lacking)
    told = {
        name: value
        for name, value in trial.conditions.items()
        if value is not None or not (trial.missing or name in OF_REQUESTS)
    }
    if not trial.missing:
        told |= {} if older else dict.fromkeys(lacking, NOT_SET)
        told[UNRECORDED] = ", ".join(sorted(lacking)) if older else "nothing"
    return told


def _changes(
    base: Sequence[Conditions], new: Sequence[Conditions], names: Iterable[str]
) -> tuple[ConditionChange, ...]:
    """Return the conditions that have more than one value on both sides together, by name."""
    found = []
    for name in sorted(names):
        sides = [tuple(sorted({told[name] for told in side if name in told}, key=str)) for side in (base, new)]
        if len({*sides[0], *sides[1]}) > 1:
            found.append(ConditionChange(name, *sides))
    return tuple(found)


def _shown(values: Iterable[str | None]) -> str:
    return ", ".join("unknown" if value is None else _short(_DIGEST.sub(r"\1…", value)) for value in values)


def _short(value: str) -> str:
    """Return the beginning of a long value, and a part of its digest, which tells it from others that begin so."""
    if len(value) <= _LONGEST:
        return value
    return f"{value[:_LONGEST]}… #{sha256(value.encode()).hexdigest()[:6]}"
