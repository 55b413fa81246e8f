"""Known failures: the cases that a project expects to fail until a date (`conf/known_failures.yaml`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from backends.options import in_plain_words
from harness.case import Case, KnownFailure
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.suite.compose import read_yaml

FILE: Final = "known_failures.yaml"

_FORM = "an entry has case, reason, until (the last day, YYYY-MM-DD) and, if there is one, issue"


_WORDS: Final = {
    r"Object missing required field `(\w+)`": r"\1 is missing",
    r"Object contains unknown field `(.*)`": r"unknown key \1",
    r"Expected `text` of length >= 1 - at `\$\.(\w+)`": r"\1 is empty",
    r"Invalid RFC3339.* - at `\$\.(\w+)`": r"\1 is not a date",
    r"(Expected .*) - at `\$\.(\w+)`": r"\2: \1",
}
"""What msgspec says of an entry, and what this says to people."""


def today() -> date:
    """Return the day that expiry dates are compared with, in UTC."""
    return datetime.now(UTC).date()


def read_known(conf: ConfPath, day: date) -> list[KnownFailure]:
    """Return the entries of the first known_failures.yaml on the search path.

    Raise `ConfError` if an entry is wrong, is listed twice, or has expired on this day.
    """
    if misnamed := conf.misnamed(FILE):
        raise ConfError(misnamed)
    path = conf.find(FILE)
    if path is None:
        return []
    try:
        document = read_yaml(conf, path)
    except ConfError as error:
        hint = "; put a pattern that begins with * in quotes" if "undefined alias" in str(error) else ""
        raise ConfError(f"{error}{hint}") from error
    if document == {}:  # there are only comments
        return []
    if not isinstance(document, list):
        raise ConfError(f"{conf.shown(path)}: must be a list of entries: {_FORM}")
    found: list[KnownFailure] = []
    for number, value in enumerate(document, 1):
        named = value.get("case") if isinstance(value, dict) else None
        place = _place(conf, number, named)
        entry = _entry(value, place)
        _require_good(entry, found, place, day)
        found.append(entry)
    return found


def require_matched(
    known: Sequence[KnownFailure], conf: ConfPath, suites: Iterable[tuple[str, Callable[[], Sequence[Case]]]]
) -> None:
    """Raise `ConfError` if an entry matches no case of any suite.

    `suites` has the name of each suite, and a function that returns its cases or raises `ConfError`. It is called only
    while there are entries without a case.
    """
    left = dict(enumerate(known, 1))
    searched: list[str] = []
    broken: list[str] = []
    for name, cases_of_suite in suites:
        if not left:
            return
        try:
            cases = cases_of_suite()
        except ConfError as error:
            broken.append(f"; suite {name} cannot be read: {error}")
            continue
        searched.append(name)
        left = {number: entry for number, entry in left.items() if not any(matches(entry, case) for case in cases)}
    for number, entry in left.items():
        raise ConfError(
            f"{_place(conf, number, entry.case)}: matches no case of the suites {', '.join(dict.fromkeys(searched))}: "
            f"correct the pattern, or remove the entry{''.join(broken)}"
        )


def mark_known(cases: Iterable[Case], known: Sequence[KnownFailure]) -> list[Case]:
    """Return the cases, each with the first entry that matches it."""
    return [replace(case, known_failure=next((one for one in known if matches(one, case)), None)) for case in cases]


def matches(entry: KnownFailure, case: Case) -> bool:
    """Return whether an entry concerns a case: its pattern matches the id, with or without the replicate."""
    parts = (case.backend, case.model, case.environment) if case.has_agent else (case.backend, case.environment)
    without = "-".join(part.name for part in parts)
    return any(fnmatchcase(name, entry.case) for name in (case.id, without))


def _place(conf: ConfPath, number: int, pattern: Any) -> str:
    """Return where an entry is, for messages."""
    path = conf.find(FILE) or conf.own / FILE
    return f"{conf.shown(path)}: entry {number}" + (f" ({pattern})" if pattern else "")


def _entry(value: Any, place: str) -> KnownFailure:
    """Return an entry as its struct. Raise `ConfError`."""
    try:
        return msgspec.convert(value, KnownFailure)
    except msgspec.ValidationError as error:
        raise ConfError(f"{place}: {_in_words(error)}; {_FORM}") from error


def _in_words(error: msgspec.ValidationError) -> str:
    """Return what is wrong with an entry: the key first."""
    text = in_plain_words(error)
    for message, words in _WORDS.items():
        text = re.sub(message, words, text)
    return text


def _require_good(entry: KnownFailure, before: Iterable[KnownFailure], place: str, day: date) -> None:
    """Raise `ConfError` if an entry repeats one before it or has expired."""
    twice = next((number for number, other in enumerate(before, 1) if other.case == entry.case), None)
    if twice is not None:
        raise ConfError(f"{place}: entry {twice} has the same case: remove one of them")
    if entry.until < day:
        raise ConfError(
            f"{place}: expired on {entry.until}: {entry.told}; if the case passes now, remove the entry, and if not, "
            "give it a later date in `until`"
        )
