"""The verdict on a session: `pytest --baseline REF` compares what it found with earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from _pytest.junitxml import xml_key

from harness.baseline import Baseline, compare_runs
from harness.case import SUBMISSION
from harness.closing import Closing
from harness.report.junit import add_verdicts
from harness.report.verdicts import Compared, regression_lines, summary_lines
from harness.results.record import Record
from harness.results.run_folder import VERDICT
from harness.results.runs import RunError
from harness.run import Run
from harness.verdict.reading import RunTrials, trials_of
from harness.verdict.rules import Rules
from harness.verdict.trials import CaseKey


class SessionVerdict:
    """The hook that compares a session with its baseline at its end.

    It is registered in the main process, after the hooks that write records. `records` returns the records so far, one
    for each session of a case. If `fails` is false, the comparison does not change the exit status. `compared` has the
    verdicts, once the session has ended and if there was something to compare.
    """

    def __init__(self, baseline: Baseline, run: Run, records: Callable[[], Sequence[Record]], *, fails: bool) -> None:
        self._baseline = baseline
        self._run = run
        self._records = records
        self._fails = fails
        self.compared: Compared | None = None
        self._conclusion: list[str] = []
        self._calm = True

    @property
    def rules(self) -> Rules:
        """The rules of the comparison."""
        return self._baseline.rules

    def found_so_far(self) -> RunTrials:
        """Return the trials of this session so far."""
        return trials_of(self._run.folder.resolve(), self._records(), running=False)

    def baseline_for(self, found: RunTrials) -> Baseline:
        """Return the part of the baseline that what was found is compared with.

        Cases of the suite without a record in this session are left out: they were not selected, or the session was
        stopped before. So only a case that the suite no longer has is gone. Cases without an agent (`--submission`) are
        compared only with such cases.
        """
        ran = {trial.key for trial in found.trials}
        suite = {CaseKey(case.backend.name, case.model.name, case.environment.name) for case in self._run.all_of_suite}
        alone = self._run.given.submission is not None
        others = {key for trial in self._baseline.trials if ((key := trial.key).backend == SUBMISSION) is not alone}
        return self._baseline.without((suite - ran) | others)

    @pytest.hookimpl(trylast=True)  # after the records and JUnit XML are written
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare what was found with the baseline. If something is worse, set the exit status to 1."""
        found = self.found_so_far()
        said = self._compare(found)
        alarming = self.compared is None or self.compared.alarming
        if alarming and self._fails and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            said += " (exit status 1)"
        if alarming and not self._fails:
            said += " (--fail-on=nothing ignores that)"
        self._conclusion = [said, *_beside(session)]
        if self.compared is not None:
            self._conclusion += _written(self.compared, found, session.config)
        self._calm = not alarming and len(self._conclusion) == 1

    def verdict(self) -> Closing:
        """Return the tables of verdicts and, if nothing is worse, the conclusion."""
        if self.compared is None:
            return self._concluded([], "verdict")
        lines = summary_lines(self.compared)
        return Closing(lines, title="verdict") if self.compared.worse else self._concluded(lines, "verdict")

    def regressions(self) -> Closing:
        """Return what is worse, and the conclusion."""
        if self.compared is None or not self.compared.worse:
            return Closing()
        return self._concluded(regression_lines(self.compared), "regressions")

    def _compare(self, found: RunTrials) -> str:
        """Compare what was found with the baseline. Return the verdict in a sentence."""
        if not found.trials:
            return "nothing was compared with the baseline: no case has a record"
        try:
            self.compared = compare_runs(self.baseline_for(found), found)
        except RunError as error:
            return f"nothing was compared with the baseline: {error}"
        if self.compared.nothing_compared:
            return "nothing was compared with the baseline"
        return f"{'something' if self.compared.worse else 'nothing'} is worse than the baseline"

    def _concluded(self, lines: Sequence[str], title: str) -> Closing:
        said = "; ".join(self._conclusion)
        if self._calm:
            return Closing([*lines, *self._conclusion], title=title)
        return Closing(lines, said, title)


def _beside(session: pytest.Session) -> list[str]:
    """Return what else decides the exit status of a session."""
    told = []
    if session.exitstatus == pytest.ExitCode.INTERRUPTED:
        told.append("the session was stopped, so only the cases that have a record were compared")
    if session.testsfailed:
        tests = "1 test" if session.testsfailed == 1 else f"{session.testsfailed} tests"
        told.append(f"{tests} failed or had an error (this does not depend on the baseline)")
    return told


def _written(compared: Compared, found: RunTrials, config: pytest.Config) -> list[str]:
    """Write the verdicts into the files of the session. Return what could not be written."""
    try:
        (found.folder / VERDICT).write_bytes(msgspec.json.format(msgspec.json.encode(compared)))
        xml = config.stash.get(xml_key, None)
        if xml is not None:
            add_verdicts(Path(xml.logfile), found, compared)
    except (OSError, ValueError) as error:
        return [f"the verdicts cannot be written: {error}"]
    return []
