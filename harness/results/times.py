"""How long cases are expected to take, from the records of earlier runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median

from harness.case import Case
from harness.results.entries import HistoryEntry, read_entries
from harness.results.history_index import INDEX, indexed_entries, stamps
from harness.results.run_folder import RESULTS

UNKNOWN_S = 60.0
"""Seconds that a case is expected to take if nothing is known about it."""


class Times:
    """The median number of seconds that graded cases took."""

    def __init__(self, entries: Iterable[HistoryEntry]) -> None:
        known = defaultdict[tuple[str, ...], list[float]](list)
        for entry in entries:
            if entry.outcome in {"passed", "failed"}:
                for key in _keys(entry.case_id, entry.model, entry.environment):
                    known[key].append(entry.case_s)
        self._medians = {key: median(seconds) for key, seconds in known.items()}

    @classmethod
    def of_runs(cls, runs: Path, newest: int = 20) -> Times:
        """Return the times of the newest runs in that folder.

        Runs are ordered by the time of their last record, because a merged run may have any name. The index of the
        history is read where it is up to date, and the folders of the runs otherwise.
        """
        found = sorted(stamps(runs).items(), key=lambda one: (one[1].mtime_ns, one[0]), reverse=True)[:newest]
        entries = indexed_entries(runs / INDEX, dict(found))
        for name, _stamp in found:
            if name not in entries:
                with suppress(OSError):  # the run was removed just now
                    entries[name] = read_entries(runs / name / RESULTS).entries
        return cls(entry for of_run in entries.values() for entry in of_run)

    def expected_s(self, case: Case) -> float:
        """Return the seconds that a case is expected to take.

        This is what the case took before. If that is not known, it is what other cases took: those of its model in its
        environment, then those of its model, then those in its environment. Otherwise it is `UNKNOWN_S`.
        """
        keys = _keys(case.id, case.model.name, case.environment.name)
        return next((self._medians[key] for key in keys if key in self._medians), UNKNOWN_S)


def _keys(case: str, model: str, environment: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of cases whose times say something about this case, the closest first."""
    return (
        ("case", case),
        ("model and environment", model, environment),
        ("model", model),
        ("environment", environment),
    )
