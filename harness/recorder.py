"""The records of cases. The process that runs a case makes its record, and the main process writes it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from _pytest.outcomes import Failed

from harness.case_folder import CaseFolder
from harness.closing import Closing
from harness.endings import Ending, explain
from harness.lazy import LazyModule
from harness.report.failure import graded_failure
from harness.report.properties import properties
from harness.report.table import table
from harness.results.drafts import KILLED, read_draft, write_draft
from harness.results.record import Record
from harness.results.record_builder import RecordBuilder
from harness.results.store import RunStore, finish_killed
from harness.run import Run
from harness.servers.base import ServerFault
from harness.servers.stop import sweep
from harness.stash import BUILDER, case_of

if TYPE_CHECKING:
    from harness.schedule import scheduler
else:  # only a session with workers needs xdist
    scheduler = LazyModule("harness.schedule.scheduler")

_RECORD = "proctor_record"
_FOLDER = pytest.StashKey[str]()


def name_folders(items: Iterable[pytest.Item]) -> list[str]:
    """Give each test that runs a case its own folder, and return the names of the folders.

    A folder is named after its case, and numbered if several tests run the case.
    """
    runs = Counter[str]()
    names = []
    for item in items:
        case = case_of(item)
        if case is not None and "submission" in getattr(item, "fixturenames", ()):
            runs[case.id] += 1
            name = case.id if runs[case.id] == 1 else f"{case.id}.{runs[case.id]}"
            item.stash[_FOLDER] = name
            names.append(name)
    return names


class CaseRecorder:
    """The hooks that make the records of cases. They are registered in each process that runs cases."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin the record of a case."""
        case = case_of(item)
        if case is not None and _FOLDER in item.stash:
            folder = self._run.folder / item.stash[_FOLDER]
            if folder.exists():  # the case killed its worker and runs once more
                folder.rename(folder.with_name(f"{folder.name}{KILLED}"))
            item.stash[BUILDER] = RecordBuilder(case, CaseFolder(folder), self._run.origin)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, bool | None, bool | None]:
        """Record a case that Ctrl-C or a signal ends, since pytest makes no report of it."""
        try:
            return (yield)
        except KeyboardInterrupt as error:
            builder = item.stash.get(BUILDER, None)
            if builder is not None and not builder.recorded:
                ending, why, _ = explain(error)
                builder.end(ending, why)
                self._leave(item, builder, builder.record("error"))
            raise

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Say briefly what the episodes did if a test asserts a solve rate that the submission does not reach."""
        try:
            return (yield)
        except AssertionError as error:
            builder = item.stash.get(BUILDER, None)
            if builder is not None and _grade_failed(builder, error):
                raise NotSolved(graded_failure(builder), pytrace=False) from None
            raise

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the record to the report that decides a case, and shorten the report of a known failure."""
        report = yield
        builder = item.stash.get(BUILDER, None)
        if builder is not None and (report.when == "call" or (report.when == "setup" and not report.passed)):
            if report.failed and call.excinfo is not None:
                self._explain(builder, report, call.excinfo)
            outcome = "error" if report.when == "setup" and report.failed else report.outcome
            record = builder.record(outcome)
            item.user_properties[:] = properties(record, builder.folder.path, item.user_properties)
            report.user_properties = list(item.user_properties)  # that of the teardown takes them from the test
            builder.recorded = True
            if record.artifacts is not None:  # the main process may be stopped before it reads the report
                self._leave(item, builder, record)
            setattr(report, _RECORD, msgspec.json.encode(record).decode())
        return report

    def _leave(self, item: pytest.Item, builder: RecordBuilder, record: Record) -> None:
        """Leave the record of a case to the process that writes the results."""
        try:
            write_draft(builder.folder, record)
        except OSError as error:
            _complain(f"cannot write the record of {item.nodeid}: {error}")

    def _explain(
        self, builder: RecordBuilder, report: pytest.TestReport, raised: pytest.ExceptionInfo[BaseException]
    ) -> None:
        """End the record as the exception says, and tell the user what the test's own report leaves out."""
        if isinstance(raised.value, NotSolved):
            return
        brief = False
        if report.when == "setup":
            ending, why, brief = explain(raised.value)
            builder.end(ending, self._run.conf.located(why))
        else:
            ending, why, _ = explain(raised.value)
            said = raised.exconly(tryshort=True).partition("\n")[0]
            builder.end(builder.ending, why if ending is Ending.INTERRUPTED else said)
        said = f"{builder.ending}: {builder.explanation}"
        if brief:
            report.longrepr = said
        lines = [] if brief else [said]
        lines += [f"files: {builder.folder.path}"] if builder.folder.path.exists() else []
        if lines:
            report.sections.append(("case", "\n".join(lines)))


class NotSolved(Failed):
    """The submission does not reach the solve rate that a test asserts. The text says what its episodes did."""

    __module__ = "builtins"  # pytest shows a class of any other module with the module's name


def _grade_failed(builder: RecordBuilder, error: AssertionError) -> bool:
    """Return whether a test failed because of the solve rate, and not by its own assertion about something else."""
    score, needed = builder.score, builder.case.environment.pass_solve_rate
    statement = str(pytest.ExceptionInfo.from_exception(error).traceback[-1].statement)
    return score is not None and score.solve_rate < needed and "solve_rate" in statement


class RunWriter:
    """The hooks that write records. They are registered in the main process. Making one begins the run.

    `names` are the names of the folders of the cases. Raise `pytest.UsageError` if the run's folder cannot be written.
    """

    def __init__(self, run: Run, names: list[str]) -> None:
        self._run = run
        self._store = RunStore(run.folder)
        self._recorded = set[str]()
        _sweep()
        if names:
            with suppress(OSError, ValueError):  # the other run is not in the way of this one
                finish_killed(run.folder.parent)
            try:
                self._store.begin(names)
            except OSError as error:
                raise pytest.UsageError(
                    f"cannot write the run: {run.folder}: {error.strerror or error}; "
                    "choose another folder with --runs-dir=FOLDER"
                ) from error

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Record a case that killed its worker and does not run again."""
        end = scheduler.handle_crash(sched, crashitem, report, recorded=crashitem in self._recorded)
        if end is not None:
            case = next(case for case in self._run.cases if case.id == end.case)
            folder = CaseFolder(self._run.folder / case.id)
            record = RecordBuilder(case, folder, self._run.origin).record("error")
            with suppress(OSError, ValueError):  # it was killed before it wrote a draft
                record = read_draft(folder)
            record = msgspec.structs.replace(
                record, ending=Ending.HARNESS_ERROR, outcome="error", explanation=end.explanation
            )
            report.user_properties = properties(record, folder.path)
            setattr(report, _RECORD, msgspec.json.encode(record).decode())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the record that is attached to a report."""
        text = getattr(report, _RECORD, None)
        if text is not None:
            self._recorded.add(report.nodeid)
            try:
                self._store.append(msgspec.json.decode(text, type=Record))
            except OSError as error:
                pytest.exit(f"cannot write the record of {report.nodeid}: {error}", pytest.ExitCode.INTERNAL_ERROR)

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Show the note that a case killed its worker and runs once more."""
        rerun = report.outcome == "rerun"  # type: ignore[comparison-overlap]  # it is `scheduler.RERUN`
        return ("rerun", "R", ("RERUN", {"yellow": True})) if rerun else None

    @pytest.hookimpl(trylast=True)  # after xdist has waited for its workers
    def pytest_sessionfinish(self) -> None:
        """Stop model servers that are left, and write the records of interrupted cases."""
        _sweep()
        try:
            self._store.end()
        except (OSError, ValueError) as error:
            _complain(f"cannot write the records of interrupted cases: {error}")

    def closing(self) -> Closing:
        """Return the table of the run and where its records are."""
        records = self._store.records
        if not records:
            return Closing()
        skipped = all(record.outcome == "skipped" for record in records)
        warning = "every case was skipped: nothing was measured" if skipped else None
        return Closing([*table(records), f"records: {self._store.results}"], warning)


def _sweep() -> None:
    """Stop the model servers that a killed run left."""
    try:
        stopped = sweep()
    except ServerFault as error:
        _complain(str(error))
    else:
        if stopped:
            _complain(f"stopped the model servers that a killed run had left: {', '.join(stopped)}")


def _complain(text: str) -> None:
    """Write a message to standard error, which reaches the user from an xdist worker too."""
    sys.stderr.write(f"\n{text}\n")
