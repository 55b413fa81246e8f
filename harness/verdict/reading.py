"""Reads the trials of a run from its folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.results.claims import is_running
from harness.results.conditions import conditions_of
from harness.results.episodes import solved_flags
from harness.results.record import Record
from harness.results.runs import RunError, read_run
from harness.results.store import unrecorded
from harness.verdict.rules import Looks
from harness.verdict.trials import CaseKey, Trial, trial_of


class RunTrials(Struct, frozen=True, kw_only=True):
    """A run as the statistics see it.

    `sessions` are the case and the start of each session, which tell the sessions of all runs apart. `folders` are the
    folders of each case, one for each trial that has one. `unrecorded` names the planned cases without a record.
    `running` says that the run has not ended, or that its file system has no locks. `looks` says how cases got further
    replicates. It is empty if their number was fixed.
    """

    folder: Path
    trials: list[Trial]
    sessions: frozenset[tuple[str, str]]
    folders: dict[CaseKey, list[Path]]
    unrecorded: list[str]
    running: bool
    looks: frozenset[Looks] = frozenset()

    @property
    def only_looks(self) -> Looks | None:
        """How its cases got further replicates. `None` if their number was fixed. Raise `RunError` if that differs."""
        if len(self.looks) > 1:
            raise RunError(
                f"{self.folder}: its cases had different numbers of replicates planned or allowed (`replicates` in its "
                "records), so they cannot be judged together: compare its shards one by one"
            )
        return next(iter(self.looks), None)


def read_trials(run: Path) -> RunTrials:
    """Return the trials of a run. `run` is its folder. Raise `RunError` if it cannot be read or has no records."""
    folder, records = read_run(run)
    if not records:
        raise RunError(f"{run}: the run has no records")
    return trials_of(folder, records, running=is_running(folder))


def trials_of(folder: Path, records: Sequence[Record], *, running: bool) -> RunTrials:
    """Return the trials of a run whose records are known. `folder` is its folder, which has the flags of episodes."""
    trials, folders = [], defaultdict[CaseKey, list[Path]](list)
    for record in _one_try_each(records):
        files = CaseFolder(folder / record.artifacts) if record.artifacts else None
        solved = solved_flags(files.episodes) if files else None
        trial = trial_of(record, run=folder.name, conditions=conditions_of(record), solved=solved)
        trials.append(trial)
        if files:
            folders[trial.key].append(files.path)
    return RunTrials(
        folder=folder,
        trials=trials,
        sessions=frozenset((record.case.id, record.started_at) for record in records if record.started_at),
        folders=dict(folders),
        unrecorded=unrecorded(folder, records),
        running=running,
        looks=frozenset(
            Looks(first=one.planned, last=one.most) for record in records if (one := record.replicates) is not None
        ),
    )


def require_distinct(runs: Iterable[RunTrials]) -> None:
    """Raise `RunError` if two runs hold the same session, such as a merged run and a shard of it."""
    owner: dict[tuple[str, str], Path] = {}
    for run in runs:
        shared = sorted(run.sessions & owner.keys())
        if shared:
            case, _started = shared[0]
            both = f"{owner[shared[0]]} and {run.folder}"
            raise RunError(f"{both} hold the same session of {case}: it would count twice; name only one of them")
        owner |= dict.fromkeys(run.sessions, run.folder)


def _one_try_each(records: Iterable[Record]) -> list[Record]:
    """Return one record of each session: the first try that was graded, or else the last try.

    A plugin reruns a test because it failed. To count the reruns would make the case look better than its agent is.
    """
    sessions: dict[str, Record] = {}
    for number, record in enumerate(sorted(records, key=lambda one: one.try_number)):
        session = record.session or record.artifacts or f"{record.case.id} {number}"
        kept = sessions.get(session)
        if kept is None or kept.score is None:
            sessions[session] = record
    return list(sessions.values())
