"""The baseline: the earlier runs that a run is compared with, and the comparison itself.

`proctor compare` and `pytest --baseline` share it. A pytest session reads its baseline before its first case starts,
with `read_baseline`. At any later time, `trials_of` (`harness/verdict/reading.py`) says what the session has found so
far, and `compare_runs` compares that with the baseline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from harness.report.verdicts import CaseFolders, Compared
from harness.results.references import find_runs
from harness.results.runs import RunError
from harness.verdict.conditions import UNRECORDED
from harness.verdict.gate import compare
from harness.verdict.reading import RunTrials, read_trials, require_distinct
from harness.verdict.rules import Rules
from harness.verdict.trials import CaseKey, Trial


class Baseline(Struct, frozen=True, kw_only=True):
    """The runs to compare with, oldest first, and the rules of the comparison.

    `reference` is what the user wrote: a folder, a file, `last`, `last:N` or `tag:NAME`.
    """

    reference: str
    runs: list[RunTrials]
    rules: Rules

    @property
    def trials(self) -> list[Trial]:
        """The trials of all its runs."""
        return [trial for run in self.runs for trial in run.trials]

    def without(self, keys: Collection[CaseKey]) -> Baseline:
        """Return the same baseline without these cases."""
        return replace(self, runs=[_without(run, keys) for run in self.runs])


def read_baseline(reference: str, runs: Path, *, besides: Path, rules: Rules) -> Baseline:
    """Return the baseline that `reference` names in the folder `runs`.

    `besides` is the folder of the run that is to be compared. `last` and `last:N` leave it out, and take only runs of
    its suite. Raise `RunError` if there is no such run, if a run cannot be read, if two runs hold the same session, or
    if the rules allow an unknown condition to differ.
    """
    folders = find_runs(reference, runs, besides=[besides])
    if besides in folders:
        raise RunError(f"{reference}: the baseline and the run to compare are the same run, {besides.name}")
    found = [read_trials(folder) for folder in folders]
    require_distinct(found)
    known = _conditions(found)
    for key in sorted(rules.allow - known):
        if "." not in key:  # an option may be set in the new run only
            raise RunError(f"--allow-drift {key}: no such condition; choose from {', '.join(sorted(known))}")
    return Baseline(reference=reference, runs=found, rules=rules)


def compare_runs(baseline: Baseline, new: RunTrials) -> Compared:
    """Return the verdicts on a run against the baseline, and what the reader must know of the runs.

    If cases of the run got further replicates until they were decided, the verdict pays for each look. Raise `RunError`
    if the run and the baseline hold the same session, or if not all its cases were looked at in the same way.
    """
    runs, rules = [*baseline.runs, new], replace(baseline.rules, looks=new.only_looks)
    require_distinct(runs)
    keys = sorted({key for run in runs for key in run.folders})
    return Compared(
        base=[_shown(run.folder) for run in baseline.runs],
        new=_shown(new.folder),
        notes=[*(note for run in runs for note in _notes(run)), *_allowed_in_vain(rules, runs)],
        rules=rules,
        comparisons=compare(baseline.trials, new.trials, rules),
        folders={
            str(key): CaseFolders(
                base=_all_shown(path for run in baseline.runs for path in run.folders.get(key, [])),
                new=_all_shown(new.folders.get(key, [])),
            )
            for key in keys
        },
    )


def _without(run: RunTrials, keys: Collection[CaseKey]) -> RunTrials:
    return replace(
        run,
        trials=[trial for trial in run.trials if trial.key not in keys],
        folders={key: paths for key, paths in run.folders.items() if key not in keys},
    )


def _notes(run: RunTrials) -> list[str]:
    notes = []
    if run.running:
        notes.append(f"{_shown(run.folder)} is still running: its results so far were used")
    if run.unrecorded:
        notes.append(f"{_shown(run.folder)} lacks records of planned cases: {', '.join(run.unrecorded)}")
    return notes


def _conditions(runs: Iterable[RunTrials]) -> set[str]:
    return {UNRECORDED, *(name for run in runs for trial in run.trials for name in trial.conditions)}


def _allowed_in_vain(rules: Rules, runs: Iterable[RunTrials]) -> list[str]:
    return [f"--allow-drift {key}: no case has this condition" for key in sorted(rules.allow - _conditions(runs))]


def _all_shown(paths: Iterable[Path]) -> list[str]:
    return [_shown(path) for path in paths]


def _shown(path: Path) -> str:
    """Return a path as short as it can be from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
