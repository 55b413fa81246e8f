"""Lets no session begin that cannot end before the job of its part does. It stays open, and runs in the next job."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.launch.files import PartFolder
from harness.launch.plan import most_s
from harness.part_orders import orders, orders_file
from harness.stash import case_of


class Deadline:
    """The hook that passes over tests whose session would begin too late. It is registered in each process.

    `ends_at` is when the last session must have ended, in seconds since 1970. `folders` maps tests to the names of
    their sessions. A session that has begun is passed over in none of its tests. The names of the others are added to
    the file `too_late`.
    """

    def __init__(
        self, ends_at: float, folders: Mapping[str, str], too_late: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._ends_at = ends_at
        self._folders = dict(folders)
        self._too_late = too_late
        self._clock = clock
        self._begun: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Pass over a test whose session would begin too late: it is neither run nor reported."""
        case, session = case_of(item), self._folders.get(item.nodeid)
        if case is None or session is None or session in self._begun:
            return None
        if self._clock() + most_s(case) <= self._ends_at:
            self._begun.add(session)
            return None
        self._note(session)
        ended = pytest.CallInfo.from_call(  # the fixtures of the test before, which this one may share with it
            lambda: item.session._setupstate.teardown_exact(nextitem), when="teardown"
        )
        if ended.excinfo is not None:
            report = item.ihook.pytest_runtest_makereport(item=item, call=ended)
            item.ihook.pytest_runtest_logreport(report=report)
        return True

    def _note(self, session: str) -> None:
        descriptor = os.open(self._too_late, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{session}\n".encode())
        finally:
            os.close(descriptor)


def heed(config: pytest.Config, folders: Mapping[str, str]) -> None:
    """Let this process pass over tests that would begin too late, if it runs a part whose job has a time limit.

    `folders` maps tests to the names of their sessions. Raise `pytest.UsageError` if the orders cannot be read.
    """
    given, file = orders(), orders_file()
    if given is None or file is None or given.ends_at is None:
        return
    deadline = Deadline(given.ends_at, folders, PartFolder(file.parent).too_late)
    config.pluginmanager.register(deadline, "proctor-deadline")
