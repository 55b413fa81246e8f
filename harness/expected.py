"""What pytest reports of the cases that the project expects to fail: a strict xfail.

Each test of such a case that fails is an xfail. A case whose tests all pass is a failure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping

import pytest
from _pytest.outcomes import Failed

from harness.case import Case
from harness.endings import Ending, explain
from harness.stash import BUILDER

XPASS = "proctor-xpass"
"""The name of the plugin that fails a known failure which passes."""


class XfailKnown:
    """The hook that makes an xfail of an expected failure, in each process that runs cases.

    Only a failed assertion and `pytest.fail` count, and the grade is such an assertion. An error of the harness, of the
    model server or in the test's own code stays an error. Register it after the hooks that make the record, which keeps
    the outcome.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn the report of a test that fails as expected into an xfail."""
        report = yield
        builder = item.stash.get(BUILDER, None)
        known = builder.case.known_failure if builder is not None else None
        if known is not None and report.when == "call" and report.failed and call.excinfo is not None:
            error = call.excinfo.value
            if isinstance(error, AssertionError | Failed) and explain(error)[0] is not Ending.INTERRUPTED:
                report.outcome = "skipped"
                report.wasxfail = f"known failure: {known.told}"
        return report


class FailPassing:
    """The hook that fails a case which passes although it is known to fail, in the process that hears all reports.

    `cases` maps each test that uses a session, by its id, to its case. A case passes if all of its tests passed. The
    report of the last one is then a failure.
    """

    def __init__(self, cases: Mapping[str, Case]) -> None:
        self._cases: dict[str, Case] = {}
        self._waiting = defaultdict[str, set[str]](set)
        self._did_not_pass = set[str]()
        self.add(cases)

    def add(self, cases: Mapping[str, Case]) -> None:
        """Take in the tests of further cases."""
        for node, case in cases.items():
            if case.known_failure is not None:
                self._cases[node] = case
                self._waiting[case.id].add(node)

    @pytest.hookimpl(tryfirst=True)  # before pytest counts the failures
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Make a failure of the report that completes a case which passes."""
        case = self._cases.get(report.nodeid)
        decides = report.when == "call" or (report.when == "setup" and not report.passed)
        rerun = report.outcome == "rerun"  # type: ignore[comparison-overlap]  # plugins that rerun tests use it
        if case is None or case.known_failure is None or not decides or rerun:
            return
        self._waiting[case.id].discard(report.nodeid)
        if not report.passed:
            self._did_not_pass.add(case.id)
        elif not self._waiting[case.id] and case.id not in self._did_not_pass:
            known = case.known_failure
            report.outcome = "failed"
            report.longrepr = (
                f"[XPASS(strict)] {case.id} passes, but it is a known failure until {known.until}: {known.told}\n"
                f"Remove the entry (case: {known.case}) from known_failures.yaml, or make its pattern narrower."
            )
