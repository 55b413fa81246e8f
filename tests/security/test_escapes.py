"""Every attempt to escape, in every room, as every user; and whether the documentation tells the truth about them."""

from __future__ import annotations

import os

import pytest

from tests.security import escape_table
from tests.security.escape import KINDS, found_as
from tests.security.escape_table import Found, Results, listed, names, problems, proven
from tests.security.inside.run import ATTEMPTS
from tests.security.known import BREACHES
from tests.security.rooms import LAYERS

USERS = ("root", "user") if os.geteuid() == 0 else ("user",)


def test_the_document_lists_every_attempt() -> None:
    assert list(listed()) == names(), "run `make escape`"


def test_the_document_says_which_attempts_are_breached() -> None:
    assert {name for name, breached in listed().items() if breached} == set(BREACHES), "run `make escape`"


def test_every_layer_that_a_control_takes_away_is_known() -> None:
    assert set().union(*(one.without for one in ATTEMPTS.values())) - {"impossible"} == set(LAYERS)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("breached", "succeeds"),
        ("held: ENOSYS", "impossible here: ENOSYS"),
        ("held: EACCES", "fails: held: EACCES"),
        ("broken: why", "fails: broken: why"),
    ],
)
def test_a_control_that_is_held_proves_nothing(outcome: str, said: str) -> None:
    results: Results = {("agent", "root"): Found({}, {"use a key ring": outcome})}
    assert escape_table.control("agent", "root", "use a key ring", outcome) == said
    assert bool(proven(results)) == (said == "succeeds")
    assert bool(problems(results)) == said.startswith("fails")


def test_an_unknown_breach_is_a_problem() -> None:
    results: Results = {("agent", "root"): Found({"use a key ring": "breached", "add a key": "held: EPERM"}, {})}
    assert problems(results) == ["agent, root: use a key ring: breached"]


@pytest.mark.nightly
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("room", KINDS)
def test_every_attempt_is_held_and_its_control_succeeds(room: str, user: str) -> None:
    results: Results = {(room, user): found_as(user, room)}
    assert problems(results) == []
    assert len(proven(results)) >= {"agent": 120, "policy": 120, "limits": 12, "environment": 15, "gateway": 100}[room]
