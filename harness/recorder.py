"""The records of cases. The process that runs a case makes its record, and the main process writes it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from _pytest.outcomes import Failed
from msgspec.structs import replace

from harness.case import Case
from harness.case_folder import CaseFolder, case_in
from harness.closing import Closing
from harness.endings import ENDINGS, CaseFault, Ending, explain
from harness.further import FurtherTest
from harness.lazy import LazyModule
from harness.node_ids import without_group
from harness.report.failure import graded_failure
from harness.report.properties import properties
from harness.report.table import table
from harness.results import history
from harness.results.aside import set_aside
from harness.results.claims import RunBusyError
from harness.results.drafts import read_draft, write_draft
from harness.results.history_index import HistoryError
from harness.results.record import RERUN, Record
from harness.results.record_builder import RecordBuilder
from harness.results.sealing import seal_run
from harness.results.store import RunStore, finish_killed
from harness.run import Run
from harness.servers.base import ServerFault
from harness.servers.stop import sweep
from harness.shared_session import SharedSession
from harness.sharing import numbered
from harness.stash import BUILDER, SESSION, case_of
from harness.untrusted import removal
from harness.visible import visible

if TYPE_CHECKING:
    from harness.results import withheld
    from harness.sandbox import cgroup
    from harness.schedule import scheduler
else:  # only a session with workers needs xdist, and only one that runs cases looks for secrets
    cgroup = LazyModule("harness.sandbox.cgroup")
    scheduler = LazyModule("harness.schedule.scheduler")
    withheld = LazyModule("harness.results.withheld")

_RECORD = "proctor_record"
_REMOVAL_S = 3.0


class CaseRecorder:
    """The hooks that make the records of cases. They are registered in each process that runs cases.

    `folders` maps each test that uses a session to the name of the session's folder.
    """

    def __init__(self, run: Run, folders: Mapping[pytest.Item, str]) -> None:
        self._run = run
        self._folders = dict(folders)
        self._planned = set(folders.values())
        self._tests_left = Counter(folders.values())
        self._sessions: dict[str, SharedSession] = {}

    def add(self, item: pytest.Item, folder: str, of_replicate: Iterable[str]) -> None:
        """Take in a test of a further replicate. `of_replicate` are the session folders of all its tests."""
        self._folders[item] = folder
        self._tests_left[folder] += 1
        self._planned.update(of_replicate)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Give the test its session. A new one begins for the first test of a case, and for a test that is rerun."""
        case, name = case_of(item), self._folders.get(item)
        if case is not None and name is not None:
            session = self._sessions.get(name)
            if session is None or item.stash.get(SESSION, None) is session:
                _seal(session)
                session = self._sessions[name] = SharedSession(self._begin(case, name, session))
            item.stash[SESSION], item.stash[BUILDER] = session, session.builder

    def _begin(self, case: Case, name: str, before: SharedSession | None) -> RecordBuilder:
        """Begin the record of a session. `before` is the try that it repeats, if there was one in this process."""
        tried = 0 if before is None else before.builder.try_number
        number, folder = next(
            (number, folder)
            for number, folder in _tries(self._run, name, self._planned)
            if number > tried and not folder.result.exists()
        )
        if folder.path.exists():  # the session killed its worker and runs once more
            set_aside(folder.path, killed=True)
        return RecordBuilder(case, folder, self._run.origin, session=name, try_number=number)

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
                withheld.withhold_secrets(builder, self._run.secrets)
                self._leave(item, builder, withheld.without_secrets(builder.record("error"), self._run.secrets))
            raise
        finally:
            name = self._folders.get(item)
            if name is not None:
                self._tests_left[name] -= 1
                _seal(None if self._tests_left[name] else self._sessions.get(name))

    def pytest_sessionfinish(self) -> None:
        """Give the removal of what agents left some time. What is then left, the main process removes."""
        removal.wait(_REMOVAL_S)

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
            withheld.withhold_secrets(builder, self._run.secrets)
            record = withheld.without_secrets(builder.record(outcome, without_group(item.nodeid)), self._run.secrets)
            before = ((visible(name), _visible(value)) for name, value in item.user_properties)
            item.user_properties[:] = properties(record, builder.folder.path, before)
            report.user_properties = list(item.user_properties)  # that of the teardown takes them from the test
            builder.recorded = True
            if record.artifacts is not None:  # the report may come late, or never
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
            builder.failures.append(builder.explanation)
            return
        brief = False
        if report.when == "setup":
            ending, why, brief = explain(raised.value)
            builder.end(ending, self._run.conf.located(why))
            said = visible(f"{builder.ending}: {builder.explanation}")
        else:
            ending, why, _ = explain(raised.value)
            failure = visible(raised.exconly(tryshort=True).partition("\n")[0])
            builder.failures.append(why if ending is Ending.INTERRUPTED else failure)
            said = f"{builder.ending}: {builder.failures[-1]}"
        if brief:
            details = raised.value.details if isinstance(raised.value, CaseFault) else ""
            report.longrepr = visible(f"{said}\n\n{details}".rstrip())
        elif (shown := visible(report.longreprtext)) != report.longreprtext:
            report.longrepr = shown
        lines = [] if brief else [said]
        lines += [f"files: {builder.folder.path}"] if builder.folder.path.exists() else []
        if lines:
            report.sections.append(("case", "\n".join(lines)))


def _seal(session: SharedSession | None) -> None:
    """Put what the agent of a session left into archives, when no test will use the session any more."""
    if session is not None:
        _complain(*session.builder.folder.seal())


def _tries(run: Run, name: str, planned: Container[str]) -> Iterator[tuple[int, CaseFolder]]:
    """Yield the number and the folder of each try of a session. Folders of other planned sessions are left out."""
    further = (folder for folder in numbered(name) if folder not in planned)
    for number, folder in enumerate(chain([name], further), 1):
        yield number, CaseFolder(run.folder / folder)


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

    `folders` maps each test that uses a session, by its id, to the name of the session's folder. `begin` begins the
    run, or goes on with it. Raise `pytest.UsageError` if the run's folder cannot be written.
    """

    def __init__(self, run: Run, folders: dict[str, str], begin: Callable[[RunStore], None]) -> None:
        self._run = run
        self._folders = dict(folders)
        self._cases = {case.id: case for case in run.cases}
        self._store = RunStore(run.folder)
        self._recorded = set[str]()
        _sweep()
        with suppress(OSError, ValueError):  # the other run is not in the way of this one
            _complain(*finish_killed(run.folder.parent, run.secrets))
        try:
            begin(self._store)
        except RunBusyError as error:
            raise pytest.UsageError(f"cannot write the run: {error}") from error
        except ValueError as error:
            raise pytest.UsageError(f"cannot read the run: {error}") from error
        except OSError as error:
            raise pytest.UsageError(
                f"cannot write the run: {run.folder}: {error.strerror or error}; "
                "choose another folder with --runs-dir=FOLDER"
            ) from error

    def add(self, tests: Iterable[FurtherTest]) -> None:
        """Take in the tests of further replicates."""
        for test in tests:
            self._folders[test.nodeid] = test.folder
            self._cases[test.case.id] = test.case

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Record a session that killed its worker and does not run again."""
        why = scheduler.handle_crash(sched, crashitem, report, recorded=crashitem in self._recorded)
        if why is not None and crashitem in self._folders:
            record = self._crashed(self._folders[crashitem], crashitem, why)
            report.user_properties = properties(record, self._run.folder / (record.artifacts or record.session))
            setattr(report, _RECORD, msgspec.json.encode(record).decode())

    def _crashed(self, name: str, test: str, why: str) -> Record:
        """Return the record of a session that killed its worker in this test. What is known of it is kept."""
        begun = takewhile(lambda try_: try_[1].path.exists(), _tries(self._run, name, self._folders.values()))
        number, folder = max(begun, default=(1, CaseFolder(self._run.folder / name)), key=itemgetter(0))
        record = next((r for r in self._store.records if (r.session, r.try_number) == (name, number)), None)
        if record is None:
            case = self._cases[case_in(name, self._cases)]
            record = RecordBuilder(case, folder, self._run.origin, session=name, try_number=number).record("error")
            with suppress(OSError, ValueError):  # it was killed before it wrote a draft
                record = read_draft(folder)
        ending = Ending.HARNESS_ERROR
        tests = record.tests | {without_group(test): "error"}
        cause = ENDINGS[ending].cause
        return replace(record, outcome="error", tests=tests, ending=ending, cause=cause, explanation=why)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the record that is attached to a report."""
        text = getattr(report, _RECORD, None)
        if _is_rerun(report):
            self._recorded.discard(report.nodeid)
        elif text is not None:
            self._recorded.add(report.nodeid)
        if text is not None:
            try:
                self._store.append(_told(report, msgspec.json.decode(text, type=Record)))
            except OSError as error:
                pytest.exit(f"cannot write the record of {report.nodeid}: {error}", pytest.ExitCode.INTERNAL_ERROR)

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Show the note that a case killed its worker and runs once more."""
        return ("rerun", "R", ("RERUN", {"yellow": True})) if _is_rerun(report) else None

    @pytest.hookimpl(trylast=True)  # after xdist has waited for its workers
    def pytest_sessionfinish(self) -> None:
        """Clear away what killed workers left, write the records of interrupted cases, and update the history."""
        _sweep()
        try:
            self._store.end()
        except (OSError, ValueError) as error:
            _complain(f"cannot write the records of the run: {error}")
        if self._run.folder.is_dir():
            _complain(*seal_run(self._run.folder, self._run.secrets))
        cgroup.sweep(cgroup.parents())
        if self._store.records:
            try:
                history.refresh(self._run.folder.parent)
            except (HistoryError, OSError) as error:
                _complain(f"cannot update the history: {error}; `proctor history` does it later, from the folders")

    @property
    def records(self) -> list[Record]:
        """The records so far, one for each session."""
        return self._store.records

    def closing(self) -> Closing:
        """Return the table of the run and where its records are."""
        records = self._store.records
        if not records:
            return Closing()
        skipped = all(record.outcome == "skipped" for record in records)
        warning = "every case was skipped: nothing was measured" if skipped else None
        return Closing([*table(records), f"records: {self._store.results}"], warning)


def _is_rerun(report: pytest.TestReport) -> bool:
    """Return whether the test runs again. Plugins that rerun tests use this outcome, too."""
    return report.outcome == RERUN


def _told(report: pytest.TestReport, record: Record) -> Record:
    """Return the record that is attached to a report. It says which tests run again, in the next try."""
    return replace(record, tests=record.tests | {without_group(report.nodeid): RERUN}) if _is_rerun(report) else record


def _sweep() -> None:
    """Stop the model servers that a killed run left."""
    try:
        stopped = sweep()
    except ServerFault as error:
        _complain(str(error))
    else:
        if stopped:
            _complain(f"stopped the model servers that a killed run had left: {', '.join(stopped)}")


def _visible(value: object) -> object:
    return visible(value) if isinstance(value, str) else value


def _complain(*texts: str) -> None:
    """Write messages to standard error, which reaches the user from an xdist worker too."""
    for text in texts:
        sys.stderr.write(f"\n{visible(text)}\n")
