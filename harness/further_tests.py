"""The tests of further replicates on pytest's side: a session has room for them, and a pause in which it waits.

A test of a further replicate is made from a collected one when it is first needed. So a session whose cases are all
decided pays nothing for the tests that it does not need, and nothing lists or counts them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from _pytest.outcomes import Exit

from harness.case import Case
from harness.further import Numbering, renamed


class SessionPause(pytest.Item):
    """A test that does nothing and is not reported. In it, a session waits until it is known whether more tests follow.

    xdist's workers run a test only once they know the next one. With this as the next one, a worker ends its test, and
    gives its model server back, before anything is known.
    """

    def runtest(self) -> None:
        """Do nothing."""

    def rest(self, nextitem: pytest.Item | None) -> None:
        """Tear down what the next test does not need. A failure is reported as an error of this test."""
        call = pytest.CallInfo.from_call(
            lambda: self.session._setupstate.teardown_exact(nextitem), "teardown", reraise=(Exit, KeyboardInterrupt)
        )
        if call.excinfo is not None:
            self.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(self, call))


def make_pause(session: pytest.Session) -> SessionPause:
    """Return the pause of a session."""
    pause: SessionPause = SessionPause.from_parent(session, name="the fixtures of the session")
    return pause


class SessionTests(list[pytest.Item]):
    """The collected tests of a session. By its number, it also gives the pause, and any test of a further replicate.

    `make` makes such a test from the number of a collected one and the number of the replicate.
    """

    def __init__(
        self, items: Iterable[pytest.Item], pause: SessionPause, make: Callable[[int, int], pytest.Item]
    ) -> None:
        super().__init__(items)
        self._numbering = Numbering(len(self))
        self._pause = pause
        self._make = make
        self._made: dict[int, pytest.Item] = {}

    def __getitem__(self, number: Any) -> Any:
        """Return the test of this number, or a slice of the collected tests."""
        if isinstance(number, slice) or number < self._numbering.collected:
            return super().__getitem__(number)
        if number == self._numbering.pause:
            return self._pause
        if number not in self._made:
            self._made[number] = self._make(*self._numbering.origin(number))
        return self._made[number]


def further_test(item: pytest.Item, like: Case, case: Case) -> pytest.Item:
    """Return a test that does for one case what a collected test does for the case `like`.

    It has the same marks, also those that hooks have added. Raise `TypeError` if the test is not a function.
    """
    if not isinstance(item, pytest.Function):
        raise TypeError(f"{item.nodeid} is not a test function")
    parameters = renamed(f"[{item.callspec.id}]", like, case)[1:-1]
    callspec = dataclasses.replace(item.callspec, params={**item.callspec.params, "case": case}, _idlist=[parameters])
    made: pytest.Function = type(item).from_parent(
        item.parent,
        name=f"{item.originalname}[{parameters}]",
        callspec=callspec,
        fixtureinfo=item._fixtureinfo,
        keywords={parameters: True},
        originalname=item.originalname,
    )
    made.own_markers[:] = item.own_markers
    made.keywords.update({mark.name: mark for mark in item.own_markers})
    return made
