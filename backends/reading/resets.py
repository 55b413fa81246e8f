"""Finds when a provider's limit ends, from the text of a CLI or of a server."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

from backends.reading.errors import reset_hint

FARTHEST = timedelta(days=7)
"""The longest known limits are weekly. A later time must be a misreading."""
_NEAREST = timedelta(seconds=1)
_READ_CAP = 200

_EPOCH = re.compile(r"\b(\d{10})(?:\d{3})?\b")
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?Z| ?UTC|[+-]\d\d:?\d\d)?", re.IGNORECASE)
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
_ZONE = re.compile(r"\(?\b([A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+){1,2}|UTC|GMT)\b\)?")
_CLOCK = re.compile(
    r"(?:\b(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]* (?P<day>\d{1,2})(?:,| at)? +)?"
    r"\b(?:(?P<hour12>\d{1,2})(?::(?P<minute12>\d\d))? ?(?P<half>[ap])\.?m\b|(?P<hour>\d{1,2}):(?P<minute>\d\d)\b)",
    re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SPAN = re.compile(
    r"(\d{1,9}(?:\.\d{1,9})?) ?(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])",
    re.IGNORECASE,
)
_BARE_SECONDS = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*")
_UNITS = {"ms": 0.001, "mi": 60.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def reset_time(said: str | float, now: datetime) -> datetime | None:
    """Return when the limit ends, in UTC, or `None` if `said` does not say. It never raises.

    The result is later than `now`, by at most `FARTHEST`. `said` is epoch seconds, or text (a whole message, or what
    `reset_hint` found in it): an ISO or HTTP date, an epoch, a time of day ("3pm (Europe/Zurich)": the next one, in UTC
    if no zone is named), a span ("5m30s", "20 s"), or bare seconds (`Retry-After`). A `now` without a zone is in UTC. A
    span of nearly nothing counts as a second. A past date counts as `None`.
    """
    now = now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
    if isinstance(said, str):
        hint, readers = (reset_hint(said) or said)[:_READ_CAP], _READERS
    else:
        hint, readers = f"{said:.0f}", (_date,)
    for read in readers:
        try:
            found = read(hint, now)
        except (ValueError, OverflowError, OSError, KeyError):  # no such day, zone or time
            continue
        if found is not None:
            return found if now < found <= now + FARTHEST else None
    return None


def _date(text: str, _now: datetime) -> datetime | None:
    if found := _HTTP_DATE.search(text):
        return parsedate_to_datetime(found[0]).astimezone(UTC)
    if found := _ISO.search(text):
        read = datetime.fromisoformat(re.sub(r" ?(?:UTC|Z)$", "+00:00", found[0], flags=re.IGNORECASE))
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    if found := _EPOCH.search(text):
        return datetime.fromtimestamp(int(found[1]), UTC)
    return None


def _time_of_day(text: str, now: datetime) -> datetime | None:
    found = _CLOCK.search(text)
    if found is None:
        return None
    named = _ZONE.search(text)
    zone: tzinfo = ZoneInfo(named[1]) if named else UTC
    if found["half"]:
        if not 1 <= int(found["hour12"]) <= 12:
            return None
        hour = int(found["hour12"]) % 12 + (12 if found["half"].lower() == "p" else 0)
    else:
        hour = int(found["hour"])
    there = now.astimezone(zone)
    wanted = there.replace(
        hour=hour, minute=int(found["minute12"] or found["minute"] or 0), second=0, microsecond=0, fold=0
    )
    if found["month"]:
        wanted = wanted.replace(month=_MONTHS.index(found["month"][:3].lower()) + 1, day=int(found["day"]))
        wanted = wanted if wanted.astimezone(UTC) > now else wanted.replace(year=wanted.year + 1)
    elif wanted.astimezone(UTC) <= now:
        wanted += timedelta(days=1)
    return wanted.astimezone(UTC)


def _span(text: str, now: datetime) -> datetime | None:
    bare = _BARE_SECONDS.fullmatch(text)
    parts = [(bare[1], "s")] if bare else _SPAN.findall(text)
    if not parts:
        return None
    seconds = sum(float(number) * _UNITS.get(unit[:2].lower(), _UNITS[unit[0].lower()]) for number, unit in parts)
    return now + max(_NEAREST, timedelta(seconds=seconds))


_READERS: tuple[Callable[[str, datetime], datetime | None], ...] = (_date, _time_of_day, _span)
