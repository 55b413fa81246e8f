"""Plans a launched run from what the user asks for, and submits its jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from harness.case import Case
from harness.endings import ConfError
from harness.environments.kinder_ids import entry_name
from harness.launch.files import Cluster, JobRequest, LaunchFolder, LaunchPlan, Sharing
from harness.launch.locks import locking
from harness.launch.merging import begin_merged
from harness.launch.plan import check, plan, usual_nodes
from harness.options import CommandLine
from harness.private import private_folder
from harness.results.run_folder import run_name
from harness.results.store import point_latest
from harness.results.times import UNKNOWN_S, Times
from harness.run import Run
from harness.suite.choice import Choice
from harness.untrusted.removal import discard

_ENDING_S = 30.0
_EARLY_S: dict[Cluster, float] = {"slurm": 60.0, "local": 0.0}
"""How much earlier than asked a cluster may tell a job to end. Slurm looks at its clock rarely."""

_SUBMITTED_S = 600.0
_WORDS = 2000


class Wish(Struct, frozen=True, kw_only=True):
    """What the user asks for. `nodes` is the number of parts, or `None` for the usual one.

    `root` is the project's root folder, and `runs` the folder of runs. `workers` is `None` for the usual number.
    """

    suite: str
    cluster: Cluster
    root: Path
    runs: Path
    nodes: int | None = None
    backends: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    require_all: bool = False
    workers: str | None = None
    gpus_per_node: int = 0
    time_s: float
    options: dict[str, str] = {}


class SubmissionError(Exception):
    """The cluster did not take the jobs. The message says what it said."""


def planned(wish: Wish) -> LaunchPlan:
    """Return the plan. Raise `ConfError` if it can never work, and `OSError` for a folder without locks."""
    given = CommandLine(suite=wish.suite, settings=wish.settings, environments=wish.environments)
    names = tuple(map(entry_name, wish.environments))
    choice = Choice(backend=wish.backends, model=wish.models, environment=names)
    run = Run(wish.root, wish.runs / run_name(wish.suite), given, choice)
    cases = run.cases
    if run.nothing is not None:
        raise ConfError(run.nothing.reason)
    for case in cases:
        run.key_of(case)
    nodes = wish.nodes or usual_nodes(cases)
    resources = JobRequest(
        time_s=wish.time_s,
        ending_s=2 * max(case.limits.grace_s for case in cases) + _ENDING_S,
        early_s=_EARLY_S[wish.cluster],
        gpus_per_node=wish.gpus_per_node,
        options=wish.options,
    )
    check(cases, resources)
    times = Times.of_runs(wish.runs)
    sharing, why = _sharing(wish, nodes, cases)
    return LaunchPlan(
        suite=wish.suite,
        cluster=wish.cluster,
        root=str(wish.root),
        runs=str(wish.runs),
        options=_options(wish),
        workers=wish.workers or _usual_workers(wish.cluster, nodes),
        parts=plan(cases, nodes, lambda case: _known(times.expected_s(case))),
        resources=resources,
        sharing=sharing,
        why=why,
    )


def _known(seconds: float) -> float | None:
    return None if seconds == UNKNOWN_S else seconds


def _options(wish: Wish) -> list[str]:
    named = (("--backend", wish.backends), ("--model", wish.models), ("--environment", wish.environments))
    return [
        f"--suite={wish.suite}",
        *(f"{option}={name}" for option, names in named for name in names),
        *(f"--set={setting}" for setting in wish.settings),
        *(["--require-all"] if wish.require_all else []),
    ]


def _usual_workers(cluster: Cluster, nodes: int) -> str:
    """Return the usual number of workers: what a node has room for. On one machine, the parts share the cores."""
    return "auto" if cluster == "slurm" or nodes == 1 else str(max(1, len(os.sched_getaffinity(0)) // nodes))


def _sharing(wish: Wish, nodes: int, cases: Sequence[Case]) -> tuple[Sharing, str]:
    """Return whether the parts share their budgets, and why. Raise `ConfError` if a budget cannot be divided."""
    if not any(limits is not None for case in cases for limits in case.shared_limits().values()):
        return "none", "no case has a budget or a pace"
    there = next(folder for folder in (wish.runs, *wish.runs.parents) if folder.is_dir())
    found = locking(there, machines=nodes if wish.cluster == "slurm" else 1)
    if found.holds:
        return "shared", found.why
    for case in cases:
        for name, limits in case.shared_limits().items():
            if limits is not None and limits.share(nodes) is None:
                raise ConfError(
                    f"{name} is too small for {nodes} parts with a share each, and they cannot keep it together "
                    f"in {wish.runs}: {found.why}; use fewer nodes, or another --runs-dir"
                )
    return "divided", found.why


def start(launch: LaunchPlan) -> LaunchFolder:
    """Make the folder of the run, and submit its jobs. Raise `SubmissionError`, and `OSError` for the folder."""
    folder = LaunchFolder(Path(launch.runs) / run_name(launch.suite))
    private_folder(folder.path)
    folder.write(launch)
    begin_merged(folder)
    with folder.submission_log.open("wb") as log:  # the jobs of the local executor keep it open
        submitted = subprocess.run(
            [sys.executable, "-m", "harness.launch.submitting", str(folder.path)],
            cwd=launch.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            timeout=_SUBMITTED_S,
            check=False,
        )
    if submitted.returncode:
        words = folder.submission_log.read_text(errors="replace").strip()[-_WORDS:]
        discard(folder.path)
        raise SubmissionError(words or f"submitit ended with status {submitted.returncode}")
    point_latest(folder.path)
    return folder
