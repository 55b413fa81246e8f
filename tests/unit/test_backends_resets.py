"""When a rate limit ends, in the words of services and CLIs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from backends.reading.errors import reset_hint
from backends.reading.resets import reset_time

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("You've hit your limit · resets 3pm (Europe/Zurich)", "2026-11-22T14:00:00"),
        ("You've hit your limit · resets 1pm (Europe/Zurich)", "2026-11-23T12:00:00"),
        ("Weekly limit reached · resets Nov 25 at 5am (Europe/Berlin)", "2026-11-25T04:00:00"),
        ("resets at 23:30", "2026-11-22T23:30:00"),
        ("retry after 20 s", "2026-11-22T13:00:20"),
        ("Retry-After: 20", "2026-11-22T13:00:20"),
        ("Please try again in 5m30s. See https://example.org", "2026-11-22T13:05:30"),
        ("try again in 1.5s", "2026-11-22T13:00:01.500000"),
        ("try again in 20ms", "2026-11-22T13:00:01"),
        ("try again in 2500 milliseconds", "2026-11-22T13:00:02.500000"),
        ("try again in 1,500 ms", "2026-11-22T13:00:01.500000"),
        ("retry-after-ms: 2500", "2026-11-22T13:00:02.500000"),
        ("Please retry in 1h2m3.5s", "2026-11-22T14:02:03.500000"),
        ("Please wait 1 hour and 20 minutes", "2026-11-22T14:20:00"),
        ("try again in an hour", "2026-11-22T14:00:00"),
        ("resets in 2 weeks", "2026-12-06T13:00:00"),
        ('"retryDelay": "34s"', "2026-11-22T13:00:34"),
        ('{"resets_in_seconds": 3600}', "2026-11-22T14:00:00"),
        (r"{\"resets_at\":1795356000,\"resets_in_seconds\":7}", "2026-11-22T14:00:00"),
        ("resets Dec 3rd, 2026 at 5pm (Europe/Berlin)", "2026-12-03T16:00:00"),
        ("You've hit your usage limit. Try again at Dec 3rd, 2026 4:15 AM.", "2026-12-03T04:15:00"),
        ("resets on 3 December", "2026-12-03T00:00:00"),
        ("resets Mon 12am", "2026-11-23T00:00:00"),
        ("resets Monday at 9:00\u202fAM (America/New_York)", "2026-11-23T14:00:00"),
        ("resets tomorrow at noon", "2026-11-23T12:00:00"),
        ("resets at midnight Pacific time", "2026-11-23T08:00:00"),
        ("resets 3 a.m. UTC+1", "2026-11-23T02:00:00"),
        ("You will regain access on 2026-12-01 at 00:00 UTC.", "2026-12-01T00:00:00"),
        ("resets 2026-11-23 17:00 (Europe/Berlin)", "2026-11-23T16:00:00"),
        ("resets Mon Nov 23 2026 15:00:00 GMT+0100 (Central European Standard Time)", "2026-11-23T14:00:00"),
        ("the limit resets. Try again in 20s.", "2026-11-22T13:00:20"),
        ("resets at 2026-11-22T15:00:00Z", "2026-11-22T15:00:00"),
        ("resets at 2026-11-22T15:00:00.5+01:00", "2026-11-22T14:00:00.500000"),
        ("Retry-After: Sun, 22 Nov 2026 14:00:00 GMT", "2026-11-22T14:00:00"),
        ("Claude AI usage limit reached|1795356000", "2026-11-22T14:00:00"),
        (1795356000.0, "2026-11-22T14:00:00"),
        (1795356000000.0, "2026-11-22T14:00:00"),
    ],
)
def test_the_end_of_a_limit_is_computed(said: str | float, end: str) -> None:
    assert reset_time(said, NOW) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "said",
    [
        *("", "boom", "resets 3pm (Mars/Olympus)", "resets 25:00", "resets 13pm", "try again in 40 days"),
        *("2026-02-30T10:00", "resets at 2020-01-01T00:00:00Z", 0.0, float("inf"), float("nan"), -1e300),
    ],
)
def test_the_end_of_a_limit_is_unknown_if_the_text_does_not_say_it(said: str | float) -> None:
    assert reset_time(said, NOW) is None


def test_the_end_is_right_on_a_day_when_clocks_change() -> None:
    before = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # 1:30 in Zurich, where 2:30 does not exist that night
    assert reset_time("resets 2:30am (Europe/Zurich)", before) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "said",
    [
        *("resets 1pm", "resets 12:59pm (UTC)", "resets Nov 22 at 12:46", "resets Sun 1pm", "resets 13:00"),
        *("limit reached|1795352400", "resets at 2026-11-22T12:59:00Z", "Retry-After: Sun, 22 Nov 2026 12:59:30 GMT"),
    ],
)
def test_a_limit_whose_end_has_just_passed_is_over(said: str) -> None:
    assert reset_time(said, NOW) == NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("resets 12:40", "2026-11-23T12:40:00"),
        ("resets Sun 12:40", "2026-11-29T12:40:00"),
    ],
)
def test_a_time_of_day_that_passed_long_ago_is_the_next_one(said: str, end: str) -> None:
    assert reset_time(said, NOW) == datetime.fromisoformat(end).replace(tzinfo=UTC)


def test_a_limit_that_ended_before_midnight_is_over_after_it() -> None:
    assert reset_time("resets 11:55pm", NOW.replace(hour=0, minute=3)) == NOW.replace(hour=0, minute=3, second=1)


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_an_unknown_zone_is_the_hosts() -> None:
    assert reset_time("resets 3am (Etc/Unknown)", NOW) == datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
    assert reset_time("resets 3am", NOW) == datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("quota exceeded; try again after checking your plan", None),
        ("The limit resets. See https://example.org", None),
        ("resets at 3 a.m. (Europe/Zurich) · /upgrade", "3 a.m. (Europe/Zurich)"),
    ],
)
def test_a_hint_is_a_time(message: str, hint: str | None) -> None:
    assert reset_hint(message) == hint
