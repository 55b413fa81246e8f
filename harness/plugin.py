"""The pytest plugin: options and hooks, nothing else. Light: Hydra and all else wait until a case needs them."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from harness.case import Case, ConfError
from harness.fixtures import DRAFT, POOL, RUN
from harness.outcome import explain
from harness.report.canvas import Canvas
from harness.report.live import Live, LiveLine
from harness.report.status import StatusFile
from harness.report.table import table
from harness.report.workers import LiveWorkers
from harness.results.draft import Draft
from harness.results.record import Record
from harness.results.store import run_name
from harness.results.times import UNKNOWN_S, Times
from harness.run import Run
from harness.shard import parse_shard

_RECORD = "proctor_record"
_VIEW = "proctor-live-workers"
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
    run.live = _live(config)
    # With workers this process collects nothing, and a worker cannot end the session with a usage error.
    if config.getoption("suite") or run.settings or config.getoption("numprocesses", None):
        _cases(run)
    if not _is_worker(config):
        config.pluginmanager.register(_Writer(run), "proctor-writer")
        _show_workers(config, run)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker the folder of the run."""
    node.workerinput["proctor_run"] = str(node.config.stash[RUN].folder)
    view = node.config.pluginmanager.getplugin(_VIEW)
    if view is not None:
        node.workerinput["proctor_status"] = str(view.status_file(node.gateway.id))


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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin the record of a case."""
    case = _graded_case(item)
    if case is not None:
        run = item.config.stash[RUN]
        item.stash[DRAFT] = Draft(case, run.folder / item.stash[_FOLDER], run.version)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Give the model server back before the next case asks for another, or none is left."""
    pool = item.config.stash.get(POOL, None)
    case = _case(nextitem) if nextitem is not None else None
    if pool is not None:
        pool.keep(case.server if case is not None else None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Record a case that Ctrl-C ends: pytest makes no report of it."""
    try:
        return (yield)
    except KeyboardInterrupt:
        draft = item.stash.get(DRAFT, None)
        if draft is not None and not draft.recorded:
            draft.interrupt()
            try:
                item.config.stash[RUN].store.leave(draft.record("error"), draft.folder.name)
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
    draft = item.stash.get(DRAFT, None)
    if draft is not None and (report.when == "call" or (report.when == "setup" and not report.passed)):
        if report.when == "setup" and report.failed and call.excinfo is not None:
            draft.ending, draft.explanation, brief = explain(call.excinfo.value)
            if brief:
                report.longrepr = f"{draft.ending}: {draft.explanation}"
        outcome = "error" if report.when == "setup" and report.failed else report.outcome
        record = draft.record(outcome)
        setattr(report, _RECORD, msgspec.json.encode(record).decode())
        if report.failed:
            said = "" if isinstance(report.longrepr, str) else f"ending: {record.ending} ({record.explanation})\n"
            files = f"files: {draft.folder}" if draft.folder.exists() else ""
            if said or files:
                report.sections.append(("case", said + files))
    return report


class _Writer:
    """The hooks that write records down; only the process that the user started has them."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        text = getattr(report, _RECORD, None)
        if text is not None:
            try:
                self._run.store.append(msgspec.json.decode(text, type=Record))
            except OSError as error:
                pytest.exit(f"cannot write the record of {report.nodeid}: {error}", pytest.ExitCode.INTERNAL_ERROR)

    @pytest.hookimpl(trylast=True)  # once xdist has waited for its workers
    def pytest_sessionfinish(self) -> None:
        try:
            self._run.store.take_left()
        except (OSError, ValueError) as error:
            _complain(f"cannot write the records of interrupted cases: {error}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._run.store.records:
            terminalreporter.section("cases")
            for line in table(self._run.store.records):
                terminalreporter.write_line(line)
            terminalreporter.write_line(f"records: {self._run.store.results}")


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process is xdist's, not the one that the user started."""
    return hasattr(config, "workerinput")


def _run(config: pytest.Config) -> Run:
    """The run of this session, made when first asked for: `-n auto` asks before pytest is configured."""
    if RUN not in config.stash:
        suite = config.getoption("suite") or "default"
        try:
            part = parse_shard(config.getoption("shard")) if config.getoption("shard") else None
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


def _complain(text: str) -> None:
    """Say what the user must know on standard error, which an xdist worker has too, while pytest captures nothing."""
    sys.stderr.write(f"\n{text}\n")


def _case(item: pytest.Item) -> Case | None:
    """The case that a test runs for, if it asks for one."""
    callspec = getattr(item, "callspec", None)
    return cast(Case, callspec.params["case"]) if callspec and "case" in callspec.params else None


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


def _live(config: pytest.Config) -> Live:
    """Where this process shows what its case is doing: a line on its terminal, or a worker's file of the live view."""
    if hasattr(config, "workerinput"):
        path = config.workerinput.get("proctor_status")
        return StatusFile(Path(path), lambda: _gpu_memory_mb(config)) if path else LiveLine(None)
    terminal = None if config.getoption("numprocesses", None) else _terminal(config)
    return LiveLine(terminal, lambda: config.get_terminal_writer().width_of_current_line)


def _gpu_memory_mb(config: pytest.Config) -> float | None:
    pool = config.stash.get(POOL, None)
    return pool.gpu_memory_mb() if pool is not None else None


def _show_workers(config: pytest.Config, run: Run) -> None:
    """With workers and a terminal: a line for each of them, and a bar."""
    terminal = _terminal(config) if config.getoption("numprocesses", None) else None
    if terminal is None:
        return

    def expected() -> dict[str, float]:
        times = Times.of_runs(run.folder.parent)
        known = {case.id: times.expected_s(case) for case in run.cases}
        return {case: seconds for case, seconds in known.items() if seconds != UNKNOWN_S}

    canvas = Canvas(terminal, config.get_terminal_writer())
    config.pluginmanager.register(LiveWorkers(canvas, lambda: [case.id for case in run.cases], expected), _VIEW)


def _terminal(config: pytest.Config) -> int | None:
    """A way to the terminal, which capturing takes away during a test; none without one, or under -q."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if config.option.verbose < 0 or capture is None or not config.pluginmanager.hasplugin("terminalreporter"):
        return None
    with capture.global_and_fixture_disabled():
        if not sys.stdout.isatty():
            return None
        terminal = os.dup(1)
    config.add_cleanup(lambda: os.close(terminal))
    return terminal
