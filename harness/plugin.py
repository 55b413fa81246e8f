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
from harness.fixtures import DRAFT, RUN
from harness.outcome import explain
from harness.report.live import LiveLine
from harness.report.table import table
from harness.results.draft import Draft
from harness.results.record import Record
from harness.results.store import run_name
from harness.run import Run

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
    group.addoption("--require-all", action="store_true", help="what cannot run on this machine is an error, no skip")


@pytest.hookimpl(trylast=True)  # once the terminal reporter is there
def pytest_configure(config: pytest.Config) -> None:
    """Name this run; check what the command line says of it."""
    suite = config.getoption("suite") or "default"
    given: str | None = getattr(config, "workerinput", {}).get("proctor_run")
    folder = Path(given) if given else config.rootpath / "runs" / run_name(suite)
    run = Run(config.rootpath, suite, config.getoption("settings"), folder, _live_line(config))
    config.stash[RUN] = run
    # With workers this process collects nothing, and a worker cannot end the session with a usage error.
    if config.getoption("suite") or run.settings or config.getoption("numprocesses", None):
        try:
            _ = run.config
        except ConfError as error:
            raise pytest.UsageError(str(error)) from error
    if given is None:
        config.pluginmanager.register(_Writer(run), "proctor-writer")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker the folder of the run."""
    node.workerinput["proctor_run"] = str(node.config.stash[RUN].folder)


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
    asked = config.getoption("suite") or _named(config.getoption("keyword"), cases)
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Record a case that Ctrl-C ends: pytest makes no report of it."""
    try:
        return (yield)
    except KeyboardInterrupt:
        draft = item.stash.get(DRAFT, None)
        if draft is not None and not draft.recorded:
            draft.interrupt()
            item.config.stash[RUN].store.leave(draft.record("error"))
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
        self._run.store.take_left()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._run.store.records:
            terminalreporter.section("cases")
            for line in table(self._run.store.records):
                terminalreporter.write_line(line)
            terminalreporter.write_line(f"records: {self._run.store.results}")


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


def _live_line(config: pytest.Config) -> LiveLine:
    """A live line on the terminal of a session that runs its cases itself; not under -q."""
    capture = config.pluginmanager.getplugin("capturemanager")
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if hasattr(config, "workerinput") or config.option.verbose < 0 or capture is None or reporter is None:
        return LiveLine(None)
    with capture.global_and_fixture_disabled():
        if not sys.stdout.isatty():
            return LiveLine(None)
        # Capturing takes descriptor 1 away during a test: keep a way to the terminal.
        terminal = os.dup(1)
    config.add_cleanup(lambda: os.close(terminal))
    return LiveLine(terminal, lambda: reporter._tw.width_of_current_line)
