"""The line that says what the episodes of a submission did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.rollout import score
from harness.evaluation.summary import summarize

TRACEBACK = """\
Traceback (most recent call last):
  File "/sandbox/submission/approach.py", line 4, in get_action
    return plan(state)
  File "/sandbox/submission/lib/plan.py", line 9, in plan
    return moves["nope"]
KeyError: 'nope'"""


def episodes(**counts: int) -> list[Episode]:
    """Episodes that ended so, with the error that such an episode has."""
    errors = {"crashed": TRACEBACK, "timed_out": "over the episode's limit of 60 s", "invalid_action": "not a number"}
    outcomes = [EpisodeOutcome(name) for name, count in counts.items() for _ in range(count)]
    return [Episode(index=n, outcome=outcome, error=errors.get(outcome)) for n, outcome in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"crashed": 20}, "0 of 20 solved, 18 needed; 20 crashed: KeyError: 'nope' (lib/plan.py:9)"),
        ({"solved": 2, "unsolved": 2}, "2 of 4 solved, 4 needed; 2 unsolved"),
        (
            {"solved": 5, "timed_out": 3, "invalid_action": 2},
            "5 of 10 solved, 9 needed; 3 timed out: over the episode's limit of 60 s; "
            "2 with an invalid action: not a number",
        ),
    ],
)
def test_the_line_counts_each_kind_and_names_its_error(counts: dict[str, int], line: str) -> None:
    played = episodes(**counts)
    assert summarize(score(played), played, 0.9) == line


def test_the_error_that_most_episodes_share_is_named_and_the_others_are_counted() -> None:
    played = [
        *episodes(crashed=3),
        Episode(index=3, outcome=EpisodeOutcome.CRASHED, error="the process was killed by signal 9"),
    ]
    assert summarize(score(played), played, 1.0) == (
        "0 of 4 solved, 4 needed; 4 crashed: KeyError: 'nope' (lib/plan.py:9), and 1 for other reasons"
    )


def test_episodes_that_were_not_attempted_do_not_hide_why_the_others_timed_out() -> None:
    skipped = [
        Episode(index=n, outcome=EpisodeOutcome.TIMED_OUT, error="not attempted after 3 timeouts in a row")
        for n in range(3, 20)
    ]
    played = [*episodes(timed_out=3), *skipped]
    assert summarize(score(played), played, 0.9) == (
        "0 of 20 solved, 18 needed; 20 timed out: over the episode's limit of 60 s, and 17 not attempted after them"
    )


@given(
    st.dictionaries(st.sampled_from([outcome.value for outcome in EpisodeOutcome]), st.integers(1, 30), min_size=1),
    st.floats(0, 1),
)
def test_as_many_as_are_needed_is_what_passes_and_one_less_is_not(counts: dict[str, int], needed: float) -> None:
    played = episodes(**counts)
    line = summarize(score(played), played, needed)
    at_least = int(line.split(" solved, ")[1].split(" needed")[0])
    assert at_least / len(played) >= needed
    assert at_least == 0 or (at_least - 1) / len(played) < needed
