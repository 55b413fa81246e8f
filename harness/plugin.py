"""The pytest plugin: options and hooks, nothing else. Light: Hydra and all else wait until a case needs them."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from harness.case import Case
from harness.case_folder import CaseFolder
from harness.endings import ConfError, Ending, explain
from harness.fixtures import BUILDER, POOL, RUN
from harness.lazy import LazyModule
from harness.live import view
from harness.report.table import table
from harness.results.record import Record
from harness.results.record_builder import RecordBuilder
from harness.results.store import run_name
from harness.run import Run
from harness.servers.base import ServerFault
from harness.suite.shard import parse_shard

if TYPE_CHECKING:
    from harness.schedule import scheduler
    from harness.servers import stop
else:  # only a session with workers, or where there were model servers, needs them
    scheduler = LazyModule("harness.schedule.scheduler")
    stop = LazyModule("harness.servers.stop")

pytest_plugins = ["harness.fixtures"]
"""pytest loads the fixtures with this plugin."""

_RECORD = "proctor_record"
_CONF_ERROR = pytest.StashKey[str]()
_FOLDER = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add Proctor's options."""
    group = parser.getgroup("proctor", "evaluation of coding agents")
    group.addoption("--suite", metavar="NAME", help="the suite of cases, conf/suite/NAME.yaml (default: default)")
    group.addoption(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="change the configuration, in Hydra's override syntax: --set limits.turns=10 (repeatable)",
    )
    group.addoption("--shard", metavar="I/N", help="the I-th of N parts of the suite, the same on every machine")
    group.addoption(
        "--record-cassettes",
        action="store_true",
        help="keep what the models answer in conf/cassettes, to be played by a model whose provider is cassette",
    )
    group.addoption("--require-all", action="store_true", help="what cannot run on this machine is an error, no skip")


@pytest.hookimpl(trylast=True)  # once the terminal reporter is there
def pytest_configure(config: pytest.Config) -> None:
    """Name this run; check what the command line says of it."""
    run = _run(config)
    run.live = view.live(config, lambda: _gpu_memory_mb(config))
    # With workers this process collects nothing, and a worker cannot end the session with a usage error.
    if config.getoption("suite") is not None or run.part or run.settings or config.getoption("numprocesses", None):
        _cases(run)
    if not _is_worker(config):
        config.pluginmanager.register(_Writer(run), "proctor-writer")
        view.show_workers(config, run)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Where the model servers of a suite run."""
    run = config.stash[RUN]
    if run.part and not run.cases:
        return f"shard {run.part} has none of the cases of suite {run.suite}: there are more shards than cases"
    return scheduler.header(run.cases) if config.getoption("suite") else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker the folder of the run."""
    node.workerinput["proctor_run"] = str(node.config.stash[RUN].folder)
    view.tell_worker(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What `-n auto` means for a suite: as many workers as GPUs, cores and memory can use; else what xdist says."""
    return scheduler.auto_workers(_cases(_run(config))) if config.getoption("suite") else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute cases over workers so that models are loaded as few times as possible."""
    return scheduler.make_scheduler(config, log, config.stash[RUN])


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Show the note that a case which killed its worker is run once more."""
    rerun = report.outcome == "rerun"  # type: ignore[comparison-overlap]  # ours: `scheduler.RERUN`
    return ("rerun", "R", ("RERUN", {"yellow": True})) if rerun else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a case every case of the suite."""
    if "case" in metafunc.fixturenames:
        try:
            cases = metafunc.config.stash[RUN].cases
        except ConfError as error:
            metafunc.config.stash[_CONF_ERROR] = str(error)
            cases = []
        metafunc.parametrize("case", cases, ids=[case.id for case in cases])


@pytest.hookimpl(trylast=True)  # once -k and -m have had their say
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep to the cases where they are asked for: by --suite, or by a -k that names what they are of, without a path.

    A wrong configuration stops here: within the collection it would look like a broken test.
    """
    if _CONF_ERROR in config.stash:
        raise pytest.UsageError(config.stash[_CONF_ERROR])
    cases = [item for item in items if _case(item) is not None]
    asked = config.getoption("suite") or config.getoption("shard") or _named(config.getoption("keyword"), cases)
    if asked and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.hook.pytest_deselected(items=[item for item in items if _case(item) is None])
        items[:] = cases
    _name_folders(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down what is about to run, so that nothing which never ran goes unseen."""
    names = [item.stash[_FOLDER] for item in session.items if _FOLDER in item.stash]
    if names and not session.config.option.collectonly:
        try:
            session.config.stash[RUN].store.begin(names)
        except OSError as error:
            raise pytest.UsageError(f"cannot write the run: {error}") from error


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin the record of a case."""
    case = _graded_case(item)
    if case is not None:
        run = item.config.stash[RUN]
        folder = run.folder / item.stash[_FOLDER]
        if folder.exists():  # it killed its worker, and is run once more
            folder.rename(folder.with_name(f"{folder.name}.killed"))
        item.stash[BUILDER] = RecordBuilder(case, CaseFolder(folder), run.version)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Give the model server back before the next case asks for another, or none is left."""
    pool = item.config.stash.get(POOL, None)
    case = _case(nextitem) if nextitem is not None else None
    if pool is not None:
        pool.release(unless=case.server if case is not None else None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Record a case that Ctrl-C ends: pytest makes no report of it."""
    try:
        return (yield)
    except KeyboardInterrupt:
        builder = item.stash.get(BUILDER, None)
        if builder is not None and not builder.recorded:
            builder.end(Ending.INTERRUPTED, "interrupted by the user")
            try:
                item.config.stash[RUN].store.leave(builder.record("error"), builder.folder.path.name)
            except OSError as error:
                _complain(f"cannot write the record of {item.nodeid}: {error}")
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the record to the report that decides a case, and say briefly how an infrastructure failure came about."""
    report = yield
    item.config.stash[RUN].live.clear()
    builder = item.stash.get(BUILDER, None)
    if builder is not None and (report.when == "call" or (report.when == "setup" and not report.passed)):
        if report.when == "setup" and report.failed and call.excinfo is not None:
            ending, why, brief = explain(call.excinfo.value)
            why = item.config.stash[RUN].conf.located(why)
            builder.end(ending, why)
            if brief:
                report.longrepr = f"{ending}: {why}"
        outcome = "error" if report.when == "setup" and report.failed else report.outcome
        record = builder.record(outcome)
        setattr(report, _RECORD, msgspec.json.encode(record).decode())
        if report.failed:
            said = "" if isinstance(report.longrepr, str) else f"ending: {record.ending} ({record.explanation})\n"
            files = f"files: {builder.folder.path}" if builder.folder.path.exists() else ""
            if said or files:
                report.sections.append(("case", said + files))
    return report


class _Writer:
    """The hooks that write records down; only the process that the user started has them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._recorded = set[str]()

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Record a case that has killed its worker for the last time."""
        end = scheduler.handle_crash(sched, crashitem, report, recorded=crashitem in self._recorded)
        if end is not None:
            case = next(case for case in self._run.cases if case.id == end.case)
            builder = RecordBuilder(case, CaseFolder(self._run.folder / case.id), self._run.version)
            builder.end(Ending.HARNESS_ERROR, end.explanation)
            setattr(report, _RECORD, msgspec.json.encode(builder.record("error")).decode())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        text = getattr(report, _RECORD, None)
        if text is not None:
            self._recorded.add(report.nodeid)
            try:
                self._run.store.append(msgspec.json.decode(text, type=Record))
            except OSError as error:
                pytest.exit(f"cannot write the record of {report.nodeid}: {error}", pytest.ExitCode.INTERNAL_ERROR)

    def pytest_sessionstart(self) -> None:
        _sweep()

    @pytest.hookimpl(trylast=True)  # once xdist has waited for its workers
    def pytest_sessionfinish(self) -> None:
        _sweep()
        try:
            self._run.store.take_left()
        except (OSError, ValueError) as error:
            _complain(f"cannot write the records of interrupted cases: {error}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._run.store.records:
            terminalreporter.write_sep("=", "cases")
            for line in table(self._run.store.records):
                terminalreporter.write_line(line)
            terminalreporter.write_line(f"records: {self._run.store.results}")


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process is xdist's, not the one that the user started."""
    return hasattr(config, "workerinput")


def _run(config: pytest.Config) -> Run:
    """The run of this session, made when first asked for: `-n auto` asks before pytest is configured."""
    if RUN not in config.stash:
        suite = "default" if config.getoption("suite") is None else config.getoption("suite")
        try:
            part = None if config.getoption("shard") is None else parse_shard(config.getoption("shard"))
        except ValueError as error:
            raise pytest.UsageError(f"--shard: {error}") from error
        given: str | None = getattr(config, "workerinput", {}).get("proctor_run")
        folder = Path(given) if given else config.rootpath / "runs" / run_name(suite)
        config.stash[RUN] = Run(config.rootpath, suite, config.getoption("settings"), folder, part)
    return config.stash[RUN]


def _cases(run: Run) -> list[Case]:
    """The cases of the run. A wrong configuration is a usage error."""
    try:
        return run.cases
    except ConfError as error:
        raise pytest.UsageError(str(error)) from error


def _sweep() -> None:
    """Stop the model servers that a run left which was killed."""
    try:
        stopped = stop.sweep()
    except ServerFault as error:
        _complain(str(error))
    else:
        if stopped:
            _complain(f"stopped what a run that was killed had left: {', '.join(stopped)}")


def _gpu_memory_mb(config: pytest.Config) -> float | None:
    """Memory in use on the GPUs of the model server that this process holds."""
    pool = config.stash.get(POOL, None)
    return pool.gpu_memory_mb() if pool is not None else None


def _complain(text: str) -> None:
    """Say what the user must know on standard error, which an xdist worker has too, while pytest captures nothing."""
    sys.stderr.write(f"\n{text}\n")


def _case(item: pytest.Item) -> Case | None:
    """The case that a test runs for, if it asks for one."""
    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    return case if isinstance(case, Case) else None  # pytest has a value of its own where there are no cases


def _named(expression: str, items: list[pytest.Item]) -> bool:
    """Whether a -k expression has the full name of a case among `items`, or of its backend, model or environment."""
    words = set(re.findall(r"[\w.-]+", expression))
    cases = filter(None, map(_case, items))
    return any(words & {case.id, case.backend.name, case.model.name, case.environment.name} for case in cases)


def _graded_case(item: pytest.Item) -> Case | None:
    """The case whose agent a test runs, if it does."""
    return _case(item) if "submission" in getattr(item, "fixturenames", ()) else None


def _name_folders(items: list[pytest.Item]) -> None:
    """Give each run of a case a folder of its own: named by the case, and numbered where several tests run it."""
    runs = Counter[str]()
    for item in items:
        case = _graded_case(item)
        if case is not None:
            runs[case.id] += 1
            item.stash[_FOLDER] = case.id if runs[case.id] == 1 else f"{case.id}.{runs[case.id]}"
