"""Rounds of further replicates in a pytest session: after the planned tests, and again after each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from harness.further import FurtherTest, Replicates
from harness.further_tests import SessionTests, further_test, make_pause
from harness.recorder import CaseRecorder
from harness.stash import cases_of, looks_of
from harness.worker_link import is_worker

NextRound = Callable[[], Sequence[FurtherTest]]


class Rounds:
    """The hooks for a process that runs tests.

    `recorder` takes in the tests that are added. Without xdist's workers, `begin` lets this process ask for the rounds.
    With them, the main process asks, and tells each worker the number of its next test.
    """

    def __init__(
        self,
        session: pytest.Session,
        replicates: Replicates,
        recorder: CaseRecorder,
    ) -> None:
        self._session = session
        self._collected = list(session.items)
        self._replicates = replicates
        self._recorder = recorder
        self._pause = make_pause(session)
        self._tests = SessionTests(session.items, self._pause, self._make)
        self._next_round: NextRound = list

    def wait_for_numbers(self) -> None:
        """Let xdist name any test by its number. Called in a worker, before it reports its collection."""
        self._session.items = self._tests

    def begin(self, next_round: NextRound) -> None:
        """Ask `next_round` for more tests when all others have run. Called in a session without workers."""
        self._next_round = next_round
        self._session.items.append(self._pause)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Let the pause report nothing. In a session without workers, ask for the next round in it.

        pytest's main loop goes on with the tests that are appended.
        """
        if item is not self._pause:
            return None
        tests = [self._tests[test.number] for test in self._next_round()]
        if tests:
            self._session.items += [*tests, self._pause]
        self._pause.rest(tests[0] if tests else nextitem)
        return True

    def _make(self, like: int, replicate: int) -> pytest.Item:
        tests = self._replicates.with_number(like, replicate)
        [test] = [test for test in tests if test.like == like]
        made = further_test(self._collected[like], self._replicates.case_like(like), test.case)
        self._recorder.add(made, test.folder, [one.folder for one in tests])
        return made


def of_session(session: pytest.Session, recorder: CaseRecorder, folders: Mapping[str, str]) -> Rounds:
    """Return the hooks for a session. `folders` maps the tests that use a session of a case to its folder."""
    config = session.config
    looks = looks_of(config)
    planned = 1 if looks is None else looks.first
    nodeids = [item.nodeid for item in session.items]
    rounds = Rounds(session, Replicates(nodeids, folders, cases_of(config), planned), recorder)
    if is_worker(config):
        rounds.wait_for_numbers()
    return rounds
