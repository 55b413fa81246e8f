"""The pytest plugin: hooks and options, nothing else.

Where Proctor is installed, every pytest session loads this plugin. So it imports almost nothing, and it does nothing in
a session without cases. The hooks that make records are registered only when there are cases to run.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import sharing
from harness.budgets import budgets_at_the_end, share_budgets
from harness.environments.kinder_ids import with_names
from harness.lazy import LazyModule
from harness.options import add_options, command_line
from harness.results.run_folder import is_run
from harness.selection import TESTPATHS, asks_for_case, keep_cases, start_at_cases, why_none
from harness.stash import MISTAKE, POOL, TO_RUN, baseline_of, case_of, cases_of, looks_of, require_keys, run_of
from harness.worker_link import Collected, greet, heard, is_worker, status_folder, tell

if TYPE_CHECKING:
    from harness import (
        case_folder,
        closing,
        expected,
        part_orders,
        recorder,
        resuming,
        rounds,
        session_page,
        session_verdict,
        stopping,
        until_decided,
    )
    from harness.launch import deadline
    from harness.live import view
    from harness.results import times
    from harness.schedule import machine, scheduler
else:  # a session without cases must not pay for these
    case_folder = LazyModule("harness.case_folder")
    closing = LazyModule("harness.closing")
    deadline = LazyModule("harness.launch.deadline")
    expected = LazyModule("harness.expected")
    machine = LazyModule("harness.schedule.machine")
    part_orders = LazyModule("harness.part_orders")
    recorder = LazyModule("harness.recorder")
    resuming = LazyModule("harness.resuming")
    rounds = LazyModule("harness.rounds")
    scheduler = LazyModule("harness.schedule.scheduler")
    session_page = LazyModule("harness.session_page")
    session_verdict = LazyModule("harness.session_verdict")
    stopping = LazyModule("harness.stopping")
    times = LazyModule("harness.results.times")
    until_decided = LazyModule("harness.until_decided")
    view = LazyModule("harness.live.view")

pytest_plugins = ["harness.fixtures"]

_NOTHING = pytest.StashKey[str]()
_FOLDERS = pytest.StashKey[dict[str, str]]()
_PAGE = pytest.StashKey[Path]()
_ROUNDS = "proctor-rounds"
_WRITER = "proctor-writer"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the ini option. If a conftest loads this plugin, add the options too, because conftests are loaded now."""
    parser.addini(
        TESTPATHS,
        "the folders and files of the tests that run cases: if cases are selected without a path, only these are "
        "collected",
        type="paths",
    )
    if any(name.endswith("conftest.py") for name, _ in pluginmanager.list_name_plugin()):
        add_options(parser, None)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """Add the options once the conftests have added theirs."""
    try:
        return (yield)
    finally:
        add_options(parser, args, listed=early_config.known_args_namespace.help)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Find the run that is to be resumed, before anything asks for the options that it was begun with."""
    given = command_line(config)
    if given.keep_errors and given.resume is None:
        raise pytest.UsageError("--keep-errors says what --resume RUN does: give both")
    if given.resume is not None:
        resuming.take_up(config)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check what the command line says about cases. For a worker, the main process has already done this."""
    given = command_line(config)
    config.option.keyword = with_names(config.option.keyword)
    if given.submission is not None:
        config.pluginmanager.import_plugin("harness.given_submission")
    config.addinivalue_line("markers", sharing.MARKER)
    if not is_worker(config):
        if given.html is not None:
            _promise_page(config)
        if given.selects_cases or given.settings:
            cases_of(config)
        looks_of(config)
        baseline_of(config)
    if given.resume is not None:
        resuming.prepare(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say where the model servers of the cases run."""
    return machine.header(run_of(config).cases) if command_line(config).selects_cases else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Collect only the cases if they are asked for. In a session with workers, only the workers collect."""
    config = session.config
    if config.getini(TESTPATHS) and not config.pluginmanager.hasplugin("dsession"):
        try:
            start_at_cases(config)
        except pytest.UsageError as error:
            if not is_worker(config):
                raise
            config.stash[MISTAKE] = str(error)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Never collect the folder of a run. Agents write into it, and collecting their files would run them here."""
    return is_run(collection_path) or None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a case every case of the run."""
    if asks_for_case(metafunc):
        try:
            cases = cases_of(metafunc.config)
        except pytest.UsageError as error:  # raised here, it would look like a broken test
            metafunc.config.stash[MISTAKE] = str(error)
            cases = []
        gc.freeze()  # otherwise the garbage collector visits Hydra's objects again for every few hundred cases
        metafunc.parametrize("case", cases, ids=[case.id for case in cases], indirect=True)


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the other tests if cases are asked for. A mistake in the configuration ends the session here."""
    mistake = config.stash.get(MISTAKE, None)
    if mistake is None:
        keep_cases(config, items)
        nothing = why_none(config, items)
        if nothing is not None:
            _say_why_none(config, nothing)
    elif is_worker(config):  # it cannot end the session
        items.clear()
    else:
        raise pytest.UsageError(mistake)


@pytest.hookimpl(tryfirst=True)  # a worker reports its cases before xdist reports its collection
def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare to run cases, if there are any."""
    config = session.config
    will_run = not config.option.collectonly and not config.getoption("setupplan", False)
    resumed = TO_RUN in config.stash
    if will_run and (resumed or any(case_of(item) is not None for item in session.items)):
        folders = resuming.folders_of(config, session.items) if resumed else sharing.name_folders(session.items)
        try:
            require_keys(config, folders)
        except pytest.UsageError as error:
            if not is_worker(config):
                raise
            config.stash[MISTAKE] = str(error)
        config.stash[_FOLDERS] = named = {item.nodeid: name for item, name in folders.items()}
        recording = recorder.CaseRecorder(run_of(config), folders)
        config.pluginmanager.register(recording, "proctor-recorder")
        if _expects_failures(config):
            config.pluginmanager.register(expected.XfailKnown(), "proctor-xfail")
        if looks_of(config) is not None:
            config.pluginmanager.register(rounds.of_session(session, recording, named), _ROUNDS)
        if is_worker(config):
            _stop_on_signals(config)
        deadline.heed(config, named)
    if is_worker(config):
        stash = config.stash
        collected = Collected(stash.get(_FOLDERS, None), stash.get(MISTAKE, None), stash.get(_NOTHING, None))
        if any(part is not None for part in collected):
            tell(config, collected)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Begin the run. A command that runs no tests, such as `pytest --fixtures`, leaves no run behind."""
    config = session.config
    broken = session.testsfailed and not config.option.continue_on_collection_errors
    if _FOLDERS in config.stash and not is_worker(config) and not broken:
        decider = _begin(config, config.stash[_FOLDERS], [item.nodeid for item in session.items])
        if decider is not None:
            config.pluginmanager.getplugin(_ROUNDS).begin(decider.next_round)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Give the model server back, unless the next test needs the same one."""
    pool = item.config.stash.get(POOL, None)
    if pool is not None:
        case = case_of(nextitem) if nextitem is not None else None
        pool.release(unless=case.server if case is not None else None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return how many workers `-n auto` starts for cases: as many as GPUs, cores and memory allow."""
    if command_line(config).resume is not None:  # xdist may ask before our own hook is called
        resuming.take_up(config)
    return machine.auto_workers(cases_of(config)) if command_line(config).selects_cases else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where its files go."""
    greet(node)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Begin the run when the first worker has collected cases."""
    config = node.config
    collected = heard(node)
    if collected is None or config.pluginmanager.hasplugin(_WRITER):
        return
    if collected.mistake is not None:
        raise pytest.UsageError(collected.mistake)
    if collected.nothing is not None and _NOTHING not in config.stash:
        _say_why_none(config, collected.nothing)
    if collected.folders is not None:
        run = run_of(config)
        cases = cases_of(config)
        decider = _begin(config, collected.folders, ids)
        config.pluginmanager.register(stopping.StopWorkers(config, max(case.limits.grace_s for case in cases)))
        known = times.Times.of_runs(part_orders.history() or run.folder.parent)
        session = config.pluginmanager.getplugin("dsession")
        scheduler.take_over(session, cases, known, collected.folders, decider.next_round if decider else None)
        board = view.show_workers(config, status_folder(config), cases, known)
        if board is not None:
            board.pytest_xdist_node_collection_finished(node, ids)


def _say_why_none(config: pytest.Config, nothing: str) -> None:
    """Say at the end of the session why no case ran. The main process says it for its workers."""
    config.stash[_NOTHING] = nothing
    if not is_worker(config):
        config.pluginmanager.register(closing.AtTheEnd(lambda: closing.Closing(warning=nothing)))


def _begin(config: pytest.Config, folders: dict[str, str], nodeids: Sequence[str]) -> until_decided.UntilDecided | None:
    """Begin the run, in the main process. `folders` maps the tests that use a session to the session's folder.

    Return what decides on further replicates of cases, if the command line asks for it.
    """
    writer = recorder.RunWriter(run_of(config), folders, lambda store: resuming.begin(config, folders, store))
    config.pluginmanager.register(writer, _WRITER)
    if _expects_failures(config):
        cases = {case.id: case for case in cases_of(config)}
        of_tests = {node: cases[case_folder.case_in(name, cases)] for node, name in folders.items()}
        config.pluginmanager.register(expected.FailPassing(of_tests), expected.XPASS)
    closings: list[Callable[[], closing.Closing]] = [lambda: resuming.with_note(config, writer.closing())]
    decider = None
    verdict = _compare_at_the_end(config, writer)
    if verdict is not None:
        decider = (
            until_decided.until_decided_of(config, verdict, writer, nodeids, folders) if looks_of(config) else None
        )
        closings += [*([decider.closing] if decider else []), verdict.verdict, verdict.regressions]
    if any(map(share_budgets, cases_of(config))):
        closings.append(lambda: budgets_at_the_end(config, writer.records))
    if _PAGE in config.stash:
        closings[0] = _write_page_at_the_end(config, writer, closings[0])
    config.pluginmanager.register(closing.AtTheEnd(*closings))
    _stop_on_signals(config)
    return decider


def _promise_page(config: pytest.Config) -> None:
    """Check that the page can be written, and say at the end of the session if there was no run to write it of."""
    config.stash[_PAGE] = session_page.file_of(config)

    def said() -> closing.Closing:
        return closing.Closing() if config.pluginmanager.hasplugin(_WRITER) else session_page.nothing_written()

    config.pluginmanager.register(closing.AtTheEnd(said))


def _write_page_at_the_end(
    config: pytest.Config, writer: recorder.RunWriter, closing_of_run: Callable[[], closing.Closing]
) -> Callable[[], closing.Closing]:
    """Write the page at the end of the session. Return what the run says, together with where the page is."""
    page = session_page.SessionPage(config.stash[_PAGE], run_of(config).folder, lambda: writer.records)
    config.pluginmanager.register(page, "proctor-page")
    return lambda: page.added_to(closing_of_run())


def _expects_failures(config: pytest.Config) -> bool:
    """Return whether a case is a known failure, unless `--runxfail` says that this does not matter."""
    return not config.option.runxfail and any(case.known_failure is not None for case in cases_of(config))


def _compare_at_the_end(config: pytest.Config, writer: recorder.RunWriter) -> session_verdict.SessionVerdict | None:
    """Compare the session with its baseline at its end, if it has one."""
    baseline = baseline_of(config)
    if baseline is None:
        return None
    fails = command_line(config).fail_on != "nothing"
    verdict = session_verdict.SessionVerdict(baseline, run_of(config), lambda: writer.records, fails=fails)
    config.pluginmanager.register(verdict, "proctor-verdict")
    return verdict


def _stop_on_signals(config: pytest.Config) -> None:
    """Let signals stop a session that runs cases. A worker also stops when its main process says so or ends."""
    signals = stopping.StopSignals()
    config.pluginmanager.register(signals, "proctor-signals")
    if is_worker(config):
        config.pluginmanager.register(stopping.HeedMain(config, signals), "proctor-heed-main")
