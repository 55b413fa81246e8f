"""What Proctor stores on pytest's objects. Each is made on first use, so that a session without cases has no run."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.environments.kinder_ids import entry_name
from harness.lazy import LazyModule
from harness.options import command_line
from harness.results.run_folder import run_name

if TYPE_CHECKING:
    from harness import baseline as baselines
    from harness import case as case_module
    from harness import endings, part_orders, run
    from harness.baseline import Baseline
    from harness.case import Case
    from harness.evaluation import submission as submissions
    from harness.live import view
    from harness.live.line import Live
    from harness.results import runs
    from harness.results.record_builder import RecordBuilder
    from harness.run import Run
    from harness.servers.pool import ServerPool
    from harness.shared_session import SharedSession
    from harness.suite import choice
    from harness.suite import shard as shards
    from harness.verdict import rules
    from harness.verdict.rules import Looks
else:  # a session without cases must not pay for these
    baselines = LazyModule("harness.baseline")
    case_module = LazyModule("harness.case")
    choice = LazyModule("harness.suite.choice")
    endings = LazyModule("harness.endings")
    part_orders = LazyModule("harness.part_orders")
    rules = LazyModule("harness.verdict.rules")
    run = LazyModule("harness.run")
    runs = LazyModule("harness.results.runs")
    submissions = LazyModule("harness.evaluation.submission")
    shards = LazyModule("harness.suite.shard")
    view = LazyModule("harness.live.view")

BUILDER: pytest.StashKey[RecordBuilder] = pytest.StashKey()
"""The record of the session that a test uses. It is kept on the test."""

SESSION: pytest.StashKey[SharedSession] = pytest.StashKey()
"""The session that a test uses. It is kept on the test."""

POOL: pytest.StashKey[ServerPool] = pytest.StashKey()
"""The model server that this process holds. It is kept on the configuration."""

MISTAKE: pytest.StashKey[str] = pytest.StashKey()
"""What is wrong with the configuration, found during collection. It is kept on the configuration."""

TO_RUN: pytest.StashKey[dict[str, str]] = pytest.StashKey()
"""The tests that a resumed run still has to run, with the names of their sessions. It is kept on the configuration."""

RUN_FOLDER = "proctor_run"
"""The key under which an xdist worker finds the folder of the run."""

DIST = "proctor_dist"
"""The key under which an xdist worker finds how tests are distributed to workers."""

SUBMISSION_FOLDER = "proctor_submission"
"""The key under which an xdist worker finds the folder of `--submission`, if there is one."""

RESUMED = "proctor_resumed"
"""The key under which an xdist worker finds `TO_RUN` and the options of the run, if a run is resumed."""

STATUS_FILE = "proctor_status"
"""The key under which an xdist worker finds the file for its status."""

_BASELINE: pytest.StashKey[Baseline | None] = pytest.StashKey()
_RUN: pytest.StashKey[Run] = pytest.StashKey()
_LIVE: pytest.StashKey[Live] = pytest.StashKey()
_FOLDER: pytest.StashKey[Path] = pytest.StashKey()
_SUBMISSION: pytest.StashKey[Path] = pytest.StashKey()


def has_run(config: pytest.Config) -> bool:
    """Return whether something in this session has asked for the run."""
    return _RUN in config.stash


def run_of(config: pytest.Config) -> Run:
    """Return the run of this session. Raise `pytest.UsageError` if the command line has a mistake."""
    if _RUN not in config.stash:
        given = command_line(config)
        try:
            part = None if given.shard is None else shards.parse_shard(given.shard)
        except ValueError as error:
            raise pytest.UsageError(f"--shard: {error}") from error
        _check_packages()
        if given.submission is not None:
            submission_folder(config)
        environments = tuple(map(entry_name, given.environments))
        names = choice.Choice(backend=given.backends, model=given.models, environment=environments)
        ordered = part_orders.orders()
        only = None if ordered is None else frozenset(ordered.cases)
        config.stash[_RUN] = run.Run(config.rootpath, run_folder(config), given, names, part, only)
    return config.stash[_RUN]


def _check_packages() -> None:
    """Raise `pytest.UsageError` if another project's package `backends` hides Proctor's, which lies beside this one."""
    found = find_spec("backends")
    place = Path(found.origin).parent if found is not None and found.origin is not None else None
    if place is not None and place.parent.resolve() != Path(__file__).parents[1].resolve():
        raise pytest.UsageError(
            f"the package {place} hides Proctor's package of the same name: rename it, or keep your cases in a folder "
            "from which Python does not find it (docs/configuration.md)"
        )


def cases_of(config: pytest.Config) -> list[Case]:
    """Return the cases of the run.

    Raise `pytest.UsageError` if the configuration is wrong, or if a mistake leaves no case.
    """
    this = run_of(config)
    try:
        cases, nothing = this.cases, this.nothing
    except endings.ConfError as error:
        raise pytest.UsageError(str(error)) from error
    if nothing is not None and nothing.mistake and not command_line(config).allow_empty:
        raise pytest.UsageError(f"{nothing.reason}; use --allow-empty to accept that")
    return cases


def looks_of(config: pytest.Config) -> Looks | None:
    """Return how cases get further replicates, or `None` if the number is fixed (`--until-decided`).

    Raise `pytest.UsageError` if the command line has a mistake.
    """
    given = command_line(config)
    if not given.until_decided and given.max_replicates is None:
        return None
    dist = config.getoption("dist", "no")
    if dist not in {"no", "load"} and (config.getoption("numprocesses", None) or config.getoption("tx", None)):
        raise pytest.UsageError(f"--until-decided does not work with --dist {dist}: use --dist load, or no workers")
    try:
        return run_of(config).looks
    except endings.ConfError as error:
        raise pytest.UsageError(str(error)) from error


def baseline_of(config: pytest.Config) -> Baseline | None:
    """Return the baseline of this session, or `None` if the command line names none. Only the main process has one.

    Raise `pytest.UsageError` if the command line has a mistake, or if the baseline cannot be read.
    """
    if _BASELINE not in config.stash:
        config.stash[_BASELINE] = _given_baseline(config)
    return config.stash[_BASELINE]


def _given_baseline(config: pytest.Config) -> Baseline | None:
    given = command_line(config)
    if given.baseline is None:
        for option, value in (("--fail-on", given.fail_on), ("--allow-drift", given.allow_drift)):
            if value:
                raise pytest.UsageError(f"{option} needs --baseline REF: there is nothing to compare with")
        return None
    took_for_tests(config, (config.invocation_params.dir / given.baseline).absolute(), "--baseline", given.baseline)
    folder = run_folder(config)
    allowed = rules.Rules(allow=frozenset(given.allow_drift))
    try:
        return baselines.read_baseline(given.baseline, folder.parent, besides=folder.resolve(), rules=allowed)
    except runs.RunError as error:
        told = str(error).removeprefix(f"{given.baseline}: ")
        raise pytest.UsageError(f"--baseline {given.baseline}: {told}") from error


def live_of(config: pytest.Config) -> Live:
    """Return the live view of this process."""

    def gpu_memory_mb() -> float | None:
        pool = config.stash.get(POOL, None)
        return pool.gpu_memory_mb() if pool is not None else None

    if _LIVE not in config.stash:
        told: str | None = getattr(config, "workerinput", {}).get(STATUS_FILE)
        config.stash[_LIVE] = view.live(config, Path(told) if told else None, gpu_memory_mb)
    return config.stash[_LIVE]


def case_of(item: pytest.Item) -> Case | None:
    """Return the case that a test runs for, or `None`."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or not has_run(item.config):
        return None
    value = callspec.params.get("case")  # another project's `case` may be anything
    return value if isinstance(value, case_module.Case) else None


def require_keys(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Raise `pytest.UsageError` if there is no key for the held-out seeds of a test's case."""
    this = run_of(config)
    try:
        for case in filter(None, map(case_of, items)):
            this.key_of(case)
    except endings.ConfError as error:
        raise pytest.UsageError(str(error)) from error


def run_folder(config: pytest.Config) -> Path:
    """Return the folder of this session's run. It exists once the run has begun."""
    if _FOLDER not in config.stash:
        told: str | None = getattr(config, "workerinput", {}).get(RUN_FOLDER)
        given = command_line(config)
        config.stash[_FOLDER] = Path(told) if told else runs_dir(config) / run_name(given.suite_name)
    return config.stash[_FOLDER]


def go_on_in(config: pytest.Config, folder: Path) -> None:
    """Make this the folder of the session's run."""
    config.stash[_FOLDER] = folder


def submission_folder(config: pytest.Config) -> Path:
    """Return the folder of `--submission`. Raise `pytest.UsageError` if it holds no submission.

    Links are resolved once, before the run begins, because `runs/latest` then points to this run.
    """
    if _SUBMISSION not in config.stash:
        told: str | None = getattr(config, "workerinput", {}).get(SUBMISSION_FOLDER)
        config.stash[_SUBMISSION] = Path(told) if told else _given_submission(config)
    return config.stash[_SUBMISSION]


def _given_submission(config: pytest.Config) -> Path:
    given = command_line(config).submission
    folder = (config.invocation_params.dir / str(given)).absolute()
    took_for_tests(config, folder, "--submission", given)
    program = submissions.REQUIRED
    if not (folder / program).is_file():
        lacks = f"has no {program}" if folder.is_dir() else "does not exist" if not folder.exists() else "is a file"
        raise pytest.UsageError(f"--submission {given}: {folder} {lacks}; name the folder that holds {program}")
    if run_folder(config).resolve().is_relative_to(folder.resolve()):
        raise pytest.UsageError(
            f"--submission {given}: this folder also holds the run, {run_folder(config)}: put {program} and what it "
            "needs in a folder of its own, or keep the run elsewhere with --runs-dir=FOLDER"
        )
    return folder.resolve()


def runs_dir(config: pytest.Config) -> Path:
    """Return the folder in which runs are kept."""
    given = command_line(config).runs_dir
    if given is None:
        return config.rootpath / "runs"
    folder = (config.invocation_params.dir / given).absolute()
    took_for_tests(config, folder, "--runs-dir", given)
    return folder


def took_for_tests(config: pytest.Config, folder: Path, option: str, given: str | None) -> None:
    """Raise `pytest.UsageError` if pytest took the folder of an option for a path of tests."""
    if _misled(config, folder, option):
        raise pytest.UsageError(
            f"{option} {given}: pytest took this folder for a path of tests, and {config.rootpath} for the root "
            f"folder; write {option}={given}"
        )


def _misled(config: pytest.Config, folder: Path, option: str) -> bool:
    """Return whether pytest took the folder of an option for a path of tests when it looked for the root folder.

    At that point pytest does not know Proctor's options. It takes the word after `--runs-dir` for a path of tests if
    that path exists.
    """
    here, root = config.invocation_params.dir, config.rootpath
    above_here = root == here or (config.inipath is not None and root in here.parents)
    in_a_word = option in config.invocation_params.args
    return in_a_word and folder.exists() and root in (folder, *folder.parents) and not above_here
