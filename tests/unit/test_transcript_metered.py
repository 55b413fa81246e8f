"""What the gateway's ledger adds to a transcript."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.gateway.ledger import LedgerEntry
from harness.transcript.metered import responses
from harness.transcript.text import failures

answers = st.sampled_from([(200, None), (200, "cut off"), (529, "overloaded"), (None, "no connection")])


def entries(answered: list[tuple[int | None, str | None]]) -> list[LedgerEntry]:
    """Return a ledger with a turn for each answer, a second apart."""
    times = [f"2026-11-26T10:{number // 60:02}:{number % 60:02}.000+00:00" for number in range(len(answered))]
    return [
        LedgerEntry(time=time, method="POST", path="/", kind="turn", status=status, error=error)
        for time, (status, error) in zip(times, answered, strict=True)
    ]


@given(st.lists(answers, max_size=40))
def test_every_failed_request_belongs_to_the_next_response(answered: list[tuple[int | None, str | None]]) -> None:
    found = responses(entries(answered))
    assert len(found) == answered.count((200, None))
    last = max((n for n, answer in enumerate(answered) if answer == (200, None)), default=-1)
    before = [None if status == 200 else status for status, error in answered[: last + 1] if error]
    assert [status for one in found for status in one.turn.failed] == before


def test_a_refused_request_is_no_failed_one() -> None:
    refused = LedgerEntry(time="2026-11-26T09:00:00+00:00", method="POST", path="/", kind="turn", refused="turn_limit")
    [one] = responses([refused, *entries([(200, None)])])
    assert one.turn.failed == ()


def test_failures_are_told_with_their_statuses() -> None:
    assert failures([529]) == "1 failed request (status 529)"
    assert failures([529, None, 529, 500]) == "4 failed requests (status 529, 500)"
    assert failures([None]) == "1 failed request"
