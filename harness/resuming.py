"""`pytest --resume RUN`: goes on with a run that was killed or interrupted, in the run's own folder."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from harness.case_folder import case_in
from harness.closing import Closing
from harness.endings import ConfError
from harness.node_ids import without_group
from harness.options import command_line, give_options, options_of_run
from harness.results.begun import BEGUN, Begun, differences, read_begun, write_begun
from harness.results.claims import RunBusyError, busy
from harness.results.drafts import drafts
from harness.results.progress import outcomes, unfinished
from harness.results.record import Record
from harness.results.references import find_run
from harness.results.run_folder import CASES, RESULTS
from harness.results.runs import RunError
from harness.results.store import RunStore, read
from harness.sharing import name_folders
from harness.stash import MISTAKE, TO_RUN, cases_of, go_on_in, run_of, runs_dir, submission_folder, took_for_tests
from harness.suite.composition import BUDGETS, composition
from harness.worker_link import is_worker, resume_in_worker

_FEW = 5


class Resumption(Struct, frozen=True, kw_only=True):
    """A run that goes on. `kept` has the outcome of each session that does not run again. `open` counts the others.

    `differing` names the options that the command line gives otherwise than the run has them.
    """

    folder: Path
    begun: Begun
    kept: dict[str, str]
    open: int
    differing: list[str]


_SET: Final = "--set"
_RESUMPTION: pytest.StashKey[Resumption] = pytest.StashKey()


def take_up(config: pytest.Config) -> None:
    """Find the run that `--resume` names, and give this session the options that the run was begun with.

    Called before anything else asks for Proctor's options. A worker hears of the run from the main process. Raise
    `pytest.UsageError` if the run cannot be resumed.
    """
    given = command_line(config)
    if given.resume is None or TO_RUN in config.stash:
        return
    if is_worker(config):
        resume_in_worker(config)
        return
    if given.until_decided:
        raise pytest.UsageError("--resume adds no replicates: give it without --until-decided")
    folder = _find(config, given.resume)
    begun, records = _read(given.resume, folder)
    now, then = _without_budgets(_options(config)), _without_budgets(begun.options)
    differing = differences({name: value for name, value in then.items() if name in now}, now)
    give_options(config, with_budgets_of(_options(config), begun.options))
    go_on_in(config, folder)
    config.stash[TO_RUN] = unfinished(begun.tests, records, keep_errors=given.keep_errors)
    left = {*config.stash[TO_RUN].values()}
    config.stash[_RESUMPTION] = Resumption(
        folder=folder,
        begun=begun,
        kept={session: _worst(found) for session, found in outcomes(records).items() if session not in left and found},
        open=len(left),
        differing=differing,
    )


def prepare(config: pytest.Config) -> None:
    """Refuse a run whose configuration has changed. Then see to it that only its open sessions run.

    Raise `pytest.UsageError` that names each difference.
    """
    config.pluginmanager.register(OpenTests(config.stash[TO_RUN]), "proctor-open-tests")
    resumption = config.stash.get(_RESUMPTION, None)
    if resumption is None:  # a worker
        return
    begun = resumption.begun
    now = _composition(config, begun.tests.values())
    found = [*resumption.differing, *differences(begun.configuration, now)]
    if found:
        raise pytest.UsageError(
            "\n  ".join([f"--resume: {resumption.folder} was begun with another configuration:", *found])
            + "\nundo these changes, or begin a new run"
        )
    config.pluginmanager.register(ResumedRun(resumption), "proctor-resumed-run")


def begin(config: pytest.Config, folders: Mapping[str, str], store: RunStore) -> None:
    """Begin the run in its folder, or go on with it. `folders` maps each test that runs now to its session's folder.

    Raise `OSError`, `ValueError` or `pytest.UsageError` if that is not possible.
    """
    resumption = config.stash.get(_RESUMPTION, None)
    if resumption is not None:
        _claim(store)
        left = unfinished(resumption.begun.tests, _records(store.run), keep_errors=command_line(config).keep_errors)
        if left != config.stash[TO_RUN]:
            raise pytest.UsageError(f"--resume: another process has just gone on with {store.run}: try again")
        store.resume({*folders.values()})
    elif folders:
        options = _options(config)
        tests = {without_group(nodeid): session for nodeid, session in folders.items()}
        configuration = _composition(config, tests.values())
        write_begun(store.run, Begun(options=options, configuration=configuration, tests=tests))
        store.begin(list(dict.fromkeys(folders.values())))


def _claim(store: RunStore) -> None:
    try:
        store.claim()
    except RunBusyError:
        raise
    except OSError as error:
        raise pytest.UsageError(
            f"--resume: {store.run} cannot be written: {error.strerror or error}; make it writable, or resume a copy"
        ) from error


def folders_of(config: pytest.Config, items: Iterable[pytest.Item]) -> dict[pytest.Item, str]:
    """Return the name of the folder of its session for each test that uses one. A resumed run keeps its names."""
    open_tests = config.stash.get(TO_RUN, None)
    if open_tests is None:
        return name_folders(items)
    sessions = {item: open_tests.get(without_group(item.nodeid)) for item in items}
    return {item: session for item, session in sessions.items() if session is not None}


def with_note(config: pytest.Config, said: Closing) -> Closing:
    """Return the closing lines of a session, with what was kept if the session resumed a run."""
    resumption = config.stash.get(_RESUMPTION, None)
    return said if resumption is None else said._replace(lines=[*said.lines, _note(resumption)])


class OpenTests:
    """The hooks that collect and keep only the tests that a resumed run still has to run, in any process.

    `tests` maps them to the names of their sessions.
    """

    def __init__(self, tests: dict[str, str]) -> None:
        self._tests = tests

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Collect only the files of these tests, unless the command line gives a path."""
        config = session.config
        if not _narrowed(config):
            files = dict.fromkeys(nodeid.partition("::")[0] for nodeid in self._tests)
            config.args = [str(config.rootpath / file) for file in files]

    @pytest.hookimpl(tryfirst=True)  # -k and -m then choose among them
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect all other tests. A test that is gone, or shares its session with other tests now, is a mistake."""
        sessions = {item: self._tests[test] for item in items if (test := without_group(item.nodeid)) in self._tests}
        gone = sorted(self._tests.keys() - {without_group(item.nodeid) for item in sessions})
        if MISTAKE in config.stash:
            pass  # the configuration is wrong, so no test has a case
        elif gone and not _narrowed(config) and not config.getoption("lf", False):
            config.stash[MISTAKE] = f"--resume: these tests of the run are gone: {', '.join(gone)}"
        elif _partition(name_folders(sessions)) != _partition(sessions):
            config.stash[MISTAKE] = (
                "--resume: the tests of a case share its session in another way than in the run: leave the tests as "
                "they were, and give the same --dist"
            )
        if len(sessions) < len(items):
            config.hook.pytest_deselected(items=[item for item in items if item not in sessions])
            items[:] = sessions


class ResumedRun:
    """The hooks of the main process that let what was kept count, too."""

    def __init__(self, resumption: Resumption) -> None:
        self._resumption = resumption

    def pytest_report_header(self) -> str:
        """Say which run goes on, and with how many sessions."""
        return f"resuming {self._resumption.folder}: {_note(self._resumption)}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Set the exit status of the whole run: 1 if a session that was kept had failed."""
        nothing_ran = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and not self._resumption.open
        if nothing_ran:
            session.exitstatus = pytest.ExitCode.OK
        if session.exitstatus == pytest.ExitCode.OK and self._failed(session.config):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _failed(self, config: pytest.Config) -> bool:
        """Return whether a session that was kept had failed. A known failure has failed if it passes."""
        cases = {case.id: case for case in cases_of(config)}
        known = {name for name, case in cases.items() if case.known_failure is not None and not config.option.runxfail}
        return any(
            outcome == "error" or outcome == ("passed" if case_in(session, cases) in known else "failed")
            for session, outcome in self._resumption.kept.items()
        )


def _find(config: pytest.Config, text: str) -> Path:
    """Return the folder of the run that `--resume` names."""
    runs, path = runs_dir(config), config.invocation_params.dir / text
    took_for_tests(config, path, "--resume", text)
    try:
        return find_run(str(path if path.exists() else text), runs)
    except RunError as error:
        known = sorted(one.parent.name for one in runs.glob(f"*/{BEGUN}") if not one.parent.is_symlink())[-_FEW:]
        there = f"the newest runs in {runs} are {', '.join(known)}" if known else f"{runs} has no run"
        raise pytest.UsageError(f"--resume {error}; {there}") from error


def _read(text: str, folder: Path) -> tuple[Begun, list[Record]]:
    """Return what the run was begun with, and its records."""
    try:
        held = busy(folder)
        begun = read_begun(folder)
        records = _records(folder)
    except OSError as error:
        raise pytest.UsageError(f"--resume {text}: {error}") from error
    except ValueError as error:
        raise pytest.UsageError(f"--resume {text}: the run is damaged: {error}") from error
    if begun is None and not (folder / CASES).is_file():
        raise pytest.UsageError(f"--resume {text}: {folder} is not the folder of a run")
    if begun is None:
        raise pytest.UsageError(
            f"--resume {text}: {folder} has no {BEGUN}, so its options are not known: it was made by an older version "
            "of Proctor or by `proctor merge`, and cannot be resumed"
        )
    if held is not None:
        raise pytest.UsageError(f"--resume {text}: {held}: wait until it ends, or stop it")
    return begun, records


def _records(folder: Path) -> list[Record]:
    """Return the records of a run, and the drafts that no process will record any more."""
    records = read(folder / RESULTS) if (folder / RESULTS).is_file() else []
    return records + drafts(folder, records)


def _options(config: pytest.Config) -> dict[str, Any]:
    """Return the options that say what a run is. A folder is absolute, because the working folder may change."""
    options = options_of_run(config)
    return options | ({"--submission": str(submission_folder(config))} if "--submission" in options else {})


def with_budgets_of(now: Mapping[str, Any], begun: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a run was begun with, and the budgets that `--set` gives now. They may be others."""
    given = [one for one in now.get(_SET, ()) if _is_budget(one)]
    if not given:
        return {**begun}
    names = {_name(one) for one in given}
    return {**begun, _SET: [*(one for one in begun.get(_SET, ()) if _name(one) not in names), *given]}


def _without_budgets(options: Mapping[str, Any]) -> dict[str, Any]:
    kept = [one for one in options.get(_SET, ()) if not _is_budget(one)]
    return {name: value for name, value in options.items() if name != _SET} | ({_SET: kept} if kept else {})


def _is_budget(override: str) -> bool:
    return bool({*_name(override).split(".")} & BUDGETS)


def _name(override: str) -> str:
    return override.partition("=")[0].strip().lstrip("+")


def _composition(config: pytest.Config, sessions: Iterable[str]) -> dict[str, Any]:
    """Return what these sessions are made of. Raise `pytest.UsageError` if there is no key for their seeds."""
    run, cases = run_of(config), {case.id: case for case in cases_of(config)}
    used = [cases[name] for name in dict.fromkeys(case_in(session, cases) for session in sessions) if name in cases]
    try:
        keys = sorted({run.key_of(case).digest for case in used})
    except ConfError as error:
        raise pytest.UsageError(str(error)) from error
    return composition(run.config.suite, used, run.conf) | {"seed_key": keys}


def _narrowed(config: pytest.Config) -> bool:
    return config.args_source is pytest.Config.ArgsSource.ARGS


def _partition(sessions: Mapping[pytest.Item, str]) -> set[frozenset[pytest.Item]]:
    """Return the sets of tests that share a session."""
    groups = defaultdict[str, set[pytest.Item]](set)
    for item, session in sessions.items():
        groups[session].add(item)
    return {frozenset(group) for group in groups.values()}


def _worst(found: Mapping[str, str]) -> str:
    return next((outcome for outcome in ("error", "failed", "passed") if outcome in found.values()), "skipped")


def _note(resumption: Resumption) -> str:
    counts = Counter(resumption.kept.values())
    of = len(resumption.kept) + resumption.open
    kept = f"{len(resumption.kept)} of {of} {'session' if of == 1 else 'sessions'}"
    were = "was" if len(resumption.kept) == 1 else "were"
    how = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    return f"{'' if resumption.open else 'nothing to resume: '}{kept} {were} kept{f' ({how})' if how else ''}"
