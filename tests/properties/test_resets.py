"""The end of a rate limit: whatever the text, it is in the near future or unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from backends.reading.resets import FARTHEST, JUST_PASSED, reset_time

zones = st.none() | st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
nows = st.datetimes(datetime(1971, 1, 1), datetime(9990, 1, 1)).flatmap(
    lambda now: zones.map(lambda zone: now.replace(tzinfo=zone))
)
digits = st.integers(0, 10**12).map(str)
words = st.sampled_from(
    [
        *(
            "resets",
            "reset at",
            "retry after",
            "try again in",
            "retry-after:",
            "limit reached|",
            "·",
            ".",
            ":",
            "-",
            "+",
        ),
        *(
            "am",
            "pm",
            "3pm",
            "12am",
            "0pm",
            "13:00",
            "24:61",
            "noon",
            "s",
            "ms",
            "m",
            "h",
            "d",
            "minutes",
            "days",
            "T",
            "Z",
        ),
        *(
            "(Europe/Zurich)",
            "America/New_York",
            "Mars/Olympus",
            "Etc/../etc",
            "UTC",
            "GMT",
            "Nov",
            "Feb",
            "29",
            "30",
            "Sun,",
        ),
        *(
            "2026-11-22T15:00:00Z",
            "9999-12-31T23:59:59Z",
            "2026-02-30",
            "1795350000",
            "1e9",
            "inf",
            "nan",
            "0",
            "5m30s",
            "-5",
        ),
    ]
)
said = (
    st.text(max_size=60)
    | st.floats()
    | st.integers(0, 2**70).map(float)
    | st.lists(words | digits, max_size=8).flatmap(
        lambda parts: st.sampled_from([" ", ""]).map(lambda by: by.join(parts))
    )
)


def aware(now: datetime) -> datetime:
    return now if now.tzinfo else now.replace(tzinfo=UTC)


@given(said, nows)
def test_the_end_is_in_the_near_future_or_unknown(text: str | float, now: datetime) -> None:
    end = reset_time(text, now)
    assert end is None or aware(now) < end <= aware(now) + FARTHEST


@given(st.integers(1, 7 * 86_400), nows)
def test_a_span_is_the_same_in_every_notation(seconds: int, now: datetime) -> None:
    end = aware(now) + timedelta(seconds=seconds)
    minutes, rest = divmod(seconds, 60)
    hours, minutes_of_hour = divmod(minutes, 60)
    for text in (
        f"Retry-After: {seconds}",
        f"{seconds} s",
        f"Rate limit reached, try again in {seconds}s. See https://x.y",
        f"retry after {minutes}m{rest}s",
        f"resets in {hours} hours {minutes_of_hour} minutes {rest} seconds",
        f"try again in {seconds * 1000} ms",
        f"try again in {seconds * 1000} milliseconds",
        f"retry-after-ms: {seconds * 1000}",
        f"resets in {hours}h{minutes_of_hour}m{rest}.0s",
        f'{{"error":{{"resets_in_seconds":{seconds}}}}}',
    ):
        assert reset_time(text, now) == end, text


@given(st.datetimes(datetime(2001, 9, 10), datetime(2200, 1, 1)), st.integers(1, 7 * 86_400))
def test_a_date_is_the_same_in_every_notation(now: datetime, seconds: int) -> None:
    now = now.replace(tzinfo=UTC, microsecond=0)
    end = now + timedelta(seconds=seconds)
    epoch = int(end.timestamp())
    texts: list[str | float] = [
        f"resets at {end:%Y-%m-%dT%H:%M:%SZ}",
        f"{end:%Y-%m-%d %H:%M:%S} UTC",
        end.isoformat(),
        end.isoformat().replace("T", "t").replace("+00:00", "z"),
        float(epoch),
        float(epoch * 1000),
        f'"resets_at":{epoch}',
        f"resets {epoch}123",
        f"Retry-After: {end:%a %b %e %H:%M:%S %Y}",
    ]
    texts += [f"limit reached|{epoch}", f"Retry-After: {end:%a, %d %b %Y %H:%M:%S} GMT"]
    for text in texts:
        assert reset_time(text, now) == end, text


@given(nows, st.integers(0, 23), st.integers(0, 59), st.sampled_from(["Europe/Zurich", "America/New_York", "UTC"]))
def test_a_time_of_day_is_the_next_one(now: datetime, hour: int, minute: int, zone: str) -> None:
    half = f"{hour % 12 or 12}:{minute:02}{'pm' if hour >= 12 else 'am'}"
    end = reset_time(f"You've hit your limit · resets {half} ({zone})", now)
    assert end is not None
    assert end - aware(now) <= timedelta(hours=25)  # a day has 25 hours when clocks go back
    assert end == reset_time(f"resets at {hour}:{minute:02} ({zone})", now)


def day_and_time(end: datetime) -> list[str]:
    """Return the ways to write a day and a time of day, to the minute."""
    half = f"{end:%I:%M} {end:%p}".lstrip("0")
    ordinal = f"{end.day}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(end.day % 10 if end.day not in (11, 12, 13) else 0, 'th') }"
    days = [
        f"{end:%b} {end.day}",
        f"{end:%B} {ordinal}, {end.year}",
        f"{end.day} {end:%b} {end.year}",
        f"{ordinal} {end:%B}",
    ]
    days += [f"{end:%A}, {end:%B} {end.day}", f"{end:%a}", f"{end:%A}", f"{end:%Y-%m-%d}"]
    return [
        f"resets {day}{by}{clock}" for day in days for by in (" ", " at ", ", ") for clock in (half, f"{end:%H:%M}")
    ]


@given(
    st.datetimes(datetime(2001, 9, 10), datetime(2200, 1, 1)),
    st.integers(1, 6 * 1440),
    st.sampled_from(["Asia/Tokyo", "UTC", "Africa/Lagos"]),  # there, clocks do not change
)
def test_a_day_and_a_time_are_the_same_in_every_wording(now: datetime, minutes: int, zone: str) -> None:
    now = now.replace(tzinfo=UTC, second=0, microsecond=0)
    end = now + timedelta(minutes=minutes)
    for text in day_and_time(end.astimezone(ZoneInfo(zone))):
        assert reset_time(f"You've hit your limit · {text} ({zone})", now) == end, text


@given(st.datetimes(datetime(2001, 9, 10), datetime(2200, 1, 1)), st.timedeltas(timedelta(), JUST_PASSED))
def test_a_limit_that_has_just_ended_is_over(end: datetime, ago: timedelta) -> None:
    end = end.replace(tzinfo=UTC, second=0, microsecond=0)
    now = end + min(ago, JUST_PASSED - timedelta(seconds=1))
    for text in (f"resets {end:%H:%M}", *day_and_time(end), f"resets {int(end.timestamp())}", end.isoformat()):
        assert reset_time(text, now) == now + timedelta(seconds=1), text
