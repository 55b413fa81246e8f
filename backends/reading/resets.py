"""Finds when a provider's limit ends, from the text of a CLI or of a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

from backends.reading.errors import reset_hint

FARTHEST = timedelta(days=32)
"""The longest known limits are monthly. A later time must be a misreading."""
JUST_PASSED = timedelta(minutes=15)
"""How long ago a limit may have ended, so that its time is not taken for tomorrow's.

A message is read within minutes after it was written: the CLI has to exit and its processes have to end. A limit that
names a time of day lasts for hours, so its next end is never so near to the last one.
"""
_NEAREST = timedelta(seconds=1)
_DAY = timedelta(days=1)
_READ_CAP = 200

_EPOCH = re.compile(r"\b(\d{10})(?:\d{3}){0,3}\b")
_ISO_DAY = re.compile(r"\b\d{4}-\d\d-\d\d")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?!\s?[ap]\.?m)(?: ?(?:Z|UTC|GMT)\b| ?([+-]\d\d:?\d\d))?",
    re.IGNORECASE,
)
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    r"|[A-Z][a-z]{5,8}, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\b"
)
"""The three forms of a date in HTTP (RFC 9110, section 5.6.7)."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DATE = re.compile(
    rf"\b(?:{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?|(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH})\b(?:,? (\d{{4}})\b)?",
    re.IGNORECASE,
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = re.compile(rf"\b({'|'.join(_WEEKDAYS)})(?:s|r|rs|(?:s|nes|rs|ur)?day)?\b", re.IGNORECASE)
_TOMORROW = re.compile(r"\btomorrow\b", re.IGNORECASE)
_CLOCK = re.compile(
    r"\b(?:(?P<hour12>\d{1,2})(?::(?P<minute12>\d\d))?(?::(?P<second12>\d\d))?\s?(?P<half>[ap])\.?m\b"
    r"|(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?\b|(?P<word>midnight|noon)\b)",
    re.IGNORECASE,
)
_REGION = re.compile(r"\b[A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+){1,2}")
_OFFSET = re.compile(r"\b(?:UTC|GMT)(?:([+-])(\d{1,2})(?::?(\d\d))?)?\b")
_ABBREVIATION = re.compile(r"\b(?:([PMCE])[SD]?T|(Pacific|Mountain|Central|Eastern)|(CES?T))\b")
_ABBREVIATED = {
    "P": "America/Los_Angeles",
    "M": "America/Denver",
    "C": "America/Chicago",
    "E": "America/New_York",
}
_HOST = "Etc/Unknown"
"""How the ICU library, which JavaScript asks, names a zone that it does not recognize. The times are the host's."""

_SPAN = re.compile(
    r"(\d{1,9}(?:\.\d{1,9})?|\ban?\b|\bone\b) ?(milliseconds?|millis|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?"
    r"|hrs?|h|days?|d|weeks?|w)(?![a-z])",
    re.IGNORECASE,
)
_BARE_SECONDS = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(?:[\"',)}\]].*)?", re.DOTALL)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def reset_time(said: str | float, now: datetime) -> datetime | None:
    """Return when the limit ends, in UTC, or `None` if `said` does not say. It never raises.

    The result is later than `now`, by at most `FARTHEST`. A time that has passed by `JUST_PASSED` at most counts as a
    second from now: the limit is over. An earlier one counts as `None`.

    `said` is epoch seconds or milliseconds, or text (a whole message, or what `reset_hint` found in it):

    - an ISO 8601, RFC 3339 or HTTP date, or an epoch;
    - a day and a time of day, each optional ("May 3rd, 2026 at 5pm (Europe/Berlin)", "Mon 12am", "3pm"): the next such
      time, in UTC if no zone is named;
    - a span ("5m30s", "500 ms"), or bare seconds (`Retry-After`). A span of nearly nothing counts as a second.

    A `now` without a zone is in UTC.
    """
    now = now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
    if isinstance(said, str):
        hint, readers = (reset_hint(said) or said)[:_READ_CAP], _READERS
    else:
        hint, readers = f"{said:.0f}", (_instant,)
    for read in readers:
        try:
            found = read(hint, now)
        except (ValueError, OverflowError, OSError, KeyError):  # no such day, zone or time
            continue
        if found is not None:
            return _not_over(found, now)
    return None


def _not_over(end: datetime, now: datetime) -> datetime | None:
    try:
        if not now - JUST_PASSED < end <= now + FARTHEST:
            return None
        return end if end > now else now + _NEAREST
    except OverflowError:  # at the end of all dates
        return None


def _instant(text: str, _now: datetime) -> datetime | None:
    """Read a date that is complete, or an epoch."""
    if found := _HTTP_DATE.search(text):
        read = parsedate_to_datetime(found[0])
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    if (found := _ISO.search(text)) and not _REGION.search(text):
        read = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3] or ''}")
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    if found := _EPOCH.search(text):
        return datetime.fromtimestamp(int(found[1]), UTC)
    return None


def _time_of_day(text: str, now: datetime) -> datetime | None:
    """Read a time of day, a day, or both: the next such time, or one that has just passed."""
    clock = _CLOCK.search(text)
    zone = _zone(text)
    at, earliest = _clock(clock) if clock else time(), now - JUST_PASSED
    for day in _days(text, now.astimezone(zone).date(), any_day=clock is not None):
        end = datetime.combine(day, at, zone).astimezone(UTC)
        if end > earliest:
            return end
    return None


def _clock(found: re.Match[str]) -> time:
    """Return the time of day. Raise `ValueError` if there is no such time."""
    if found["word"]:
        return time(12 if found["word"].lower() == "noon" else 0)
    if not found["half"]:
        return time(int(found["hour"]), int(found["minute"]), int(found["second"] or 0))
    if not 1 <= int(found["hour12"]) <= 12:
        raise ValueError(found[0])
    hour = int(found["hour12"]) % 12 + (12 if found["half"].lower() == "p" else 0)
    return time(hour, int(found["minute12"] or 0), int(found["second12"] or 0))


def _days(text: str, today: date, *, any_day: bool) -> Iterator[date]:
    """Yield the days that the text may mean, in order. Without a day it means any, if `any_day` is true."""
    if found := _DATE.search(text):
        month = _MONTHS.index((found[1] or found[4])[:3].lower()) + 1
        years = [int(found[5])] if found[5] else [today.year - 1, today.year, today.year + 1]
        yield from filter(None, (_day(year, month, int(found[2] or found[3])) for year in years))
    elif found := _ISO_DAY.search(text):
        yield date.fromisoformat(found[0])
    elif found := _WEEKDAY.search(text):
        ahead = (_WEEKDAYS.index(found[1].lower()) - today.weekday()) % 7
        yield from (today + (ahead + days) * _DAY for days in (-7, 0, 7))
    elif _TOMORROW.search(text):
        yield today + _DAY
    elif any_day:
        yield from (today + days * _DAY for days in (-1, 0, 1))


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:  # a 29th of February
        return None


def _zone(text: str) -> tzinfo | None:
    """Return the zone that the text names, UTC if it names none, and `None` for the host's. Raise if unknown."""
    if found := _REGION.search(text):
        return None if found[0] == _HOST else ZoneInfo(found[0])
    if found := _OFFSET.search(text):
        hours, minutes = int(found[2] or 0), int(found[3] or 0)
        return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if found[1] == "-" else 1))
    if found := _ABBREVIATION.search(text):
        return ZoneInfo("Europe/Paris" if found[3] else _ABBREVIATED[(found[1] or found[2])[0]])
    return UTC


def _span(text: str, now: datetime) -> datetime | None:
    text = _THOUSANDS.sub("", text)
    bare = _BARE_SECONDS.fullmatch(text)
    parts = [(bare[1], "s")] if bare else _SPAN.findall(text)
    if not parts:
        return None
    seconds = sum((float(number) if number[0].isdigit() else 1.0) * _seconds(unit.lower()) for number, unit in parts)
    return now + max(_NEAREST, timedelta(seconds=seconds))


def _seconds(unit: str) -> float:
    return 0.001 if unit.startswith(("ms", "milli")) else _UNITS[unit[0]]


_READERS: tuple[Callable[[str, datetime], datetime | None], ...] = (_instant, _time_of_day, _span)
