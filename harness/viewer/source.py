"""What the page asks for: the overview of the chosen runs, the details of a case, and what runs now."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.packaged import harness_version
from harness.page.details import PICTURES, Pictures, details
from harness.page.overview import Overview, TrendPoint, shown_verdict, trend
from harness.page.rows import columns
from harness.results.claims import RUNNING, is_running
from harness.results.entries import HistoryEntry
from harness.results.history import IndexedRun, PastRun
from harness.results.record import Record
from harness.results.run_folder import suite_of
from harness.viewer.cells import KnownCells
from harness.viewer.choice import chosen, runs_in, suites
from harness.viewer.machine import KnownGpus, ShownGpu, ShownServer, servers
from harness.viewer.run import FollowedRun, RunState, case_folders
from harness.viewer.running import RunningCase, RunningCases
from harness.visible import visible

_KEPT = 4
"""How many overviews are kept, for readers who look at different runs."""


class LiveOverview(Overview, frozen=True, kw_only=True):
    """The overview of the chosen runs, and what may be chosen.

    `data_version` names this state of the runs. `states` are those of the chosen runs, and `faults` what could not be
    read of them. `all_runs` are the names of all runs, newest first.
    """

    data_version: str
    choice: str
    runs_folder: str
    states: list[RunState]
    faults: list[str]
    all_runs: list[str]
    suites: list[str]


class LiveState(Struct, frozen=True, kw_only=True):
    """What runs now, in all runs of the folder. `data_version` is that of the overview of the chosen runs."""

    data_version: str
    runs: list[RunState]
    cases: list[RunningCase]
    servers: list[ShownServer]
    gpus: list[ShownGpu]


class RunsSource:
    """Answers what the page asks about a folder of runs. Any thread may call it. It never writes."""

    def __init__(self, runs: Path) -> None:
        self._folder = runs
        self._runs: dict[str, FollowedRun] = {}
        self._cells = KnownCells()
        self._cases = RunningCases()
        self._gpus = KnownGpus()
        self._overviews: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def state(self, choice: str) -> bytes:
        """Return what runs now, as JSON."""
        with self._lock:
            names = self._names()
            live = [name for name in names if self._goes_on(name)]
            shown = self._followed(chosen(names, choice))
            running = self._followed(live)
            state = LiveState(
                data_version=_version(shown, names),
                runs=[run.state for run in running],
                cases=self._cases.look([folder for run in running for folder in _unrecorded(run)]),
                servers=servers([run.folder for run in running]),
                gpus=self._gpus.now(),
            )
        return msgspec.json.encode(state)

    def overview(self, choice: str) -> bytes:
        """Return the overview of the chosen runs, as JSON."""
        with self._lock:
            names = self._names()
            shown = self._followed(chosen(names, choice))
            version = _version(shown, names)
            if version not in self._overviews:
                while len(self._overviews) >= _KEPT:
                    del self._overviews[next(iter(self._overviews))]
                self._overviews[version] = msgspec.json.encode(self._overview(shown, names, choice))
            return self._overviews[version]

    def details(self, key: str) -> bytes | None:
        """Return the details of the case with this key, as JSON, or `None` if there is none."""
        with self._lock:
            found = self._recorded(key) or self._cases.find(key)
        return None if found is None else msgspec.json.encode(details(*found, Pictures(PICTURES)))

    def _recorded(self, key: str) -> tuple[Record, Path] | None:
        """Return the record with this key, and its run."""
        for run in self._runs.values():
            if run.has(key):
                run.update()  # the file of records may have been written anew
                record = run.record(key)
                return None if record is None else (record, run.folder)
        return None

    def _names(self) -> list[str]:
        """Return the names of all runs, oldest first, and forget those that were removed."""
        names = runs_in(self._folder)
        for gone in self._runs.keys() - set(names):
            del self._runs[gone]
        return names

    def _goes_on(self, name: str) -> bool:
        run = self._folder / name
        return (run / RUNNING).exists() and is_running(run)

    def _followed(self, names: Sequence[str]) -> list[FollowedRun]:
        """Return these runs, brought up to date."""
        for name in names:
            if name not in self._runs:
                self._runs[name] = FollowedRun(self._folder / name)
            self._runs[name].update()
        return [self._runs[name] for name in names]

    def _overview(self, shown: Sequence[FollowedRun], names: Sequence[str], choice: str) -> LiveOverview:
        rows = [msgspec.structs.replace(one.row, run=n) for n, run in enumerate(shown) for one in run.records]
        states = [run.state for run in shown]
        return LiveOverview(
            data_version=_version(shown, names),
            choice=visible(choice),
            runs_folder=visible(str(self._folder.absolute())),
            states=states,
            faults=[f"{visible(run.folder.name)}: {fault}" for run in shown for fault in run.faults],
            all_runs=[visible(name) for name in reversed(names)],
            suites=[visible(name) for name in suites(names)],
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=harness_version(),
            runs=[run.about for run in shown],
            verdict=shown_verdict(shown[-1].verdict) if shown else None,
            cells=self._cells.of(trial for run in shown for trial in run.trials),
            trends=list(_trends(shown)),
            rows=columns(rows),
            unrecorded=[
                visible(name)
                for run, state in zip(shown, states, strict=True)
                if state.state != "running"
                for name in run.unrecorded
            ],
        )


def _version(shown: Sequence[FollowedRun], names: Sequence[str]) -> str:
    """Return a name for the state of these runs. It changes if one of them does, or if a run was added or removed."""
    seen = "".join(f"{run.folder.name}\0{run.version}\0" for run in shown)
    return format(hash((seen, tuple(names))) & (1 << 64) - 1, "x")


def _unrecorded(run: FollowedRun) -> Iterator[CaseFolder]:
    for name in case_folders(run.folder, {one.artifacts for one in run.records}):
        yield CaseFolder(run.folder / name)


def _trends(shown: Sequence[FollowedRun]) -> Iterator[TrendPoint]:
    """Yield how the backends of the newest run went in those of the shown runs that have its suite."""
    suite = suite_of(shown[-1].folder.name) if shown else None
    if suite is None:
        return
    past = defaultdict[str, list[PastRun]](list)
    for run in shown:
        entries = defaultdict[str, list[HistoryEntry]](list)
        for one in run.records if suite_of(run.folder.name) == suite else ():
            if one.entry is not None:
                entries[one.entry.backend].append(one.entry)
        began = run.about.began or ""
        for backend, theirs in entries.items():
            past[backend].append(PastRun(IndexedRun(visible(run.folder.name), began, suite, 0), theirs))
    for backend in sorted({one.row.backend for one in shown[-1].records}):
        yield from trend(backend, past[backend])
