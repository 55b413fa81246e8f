"""How long cases are expected to take, from the records of earlier runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from harness.case import Case

UNKNOWN_S = 60.0
"""Seconds that a case is expected to take if nothing is known about it."""


class _Names(Struct):
    id: str
    model: str
    environment: str


class _Timing(Struct):
    setup_s: float | None = None
    agent_s: float | None = None
    evaluation_s: float | None = None


class _Line(Struct):
    """The part of a record that is needed here. Other versions may differ in the rest."""

    case: _Names
    outcome: str
    timing: _Timing


class Times:
    """The median number of seconds that graded cases took."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        known = defaultdict[tuple[str, ...], list[float]](list)
        decoder = msgspec.json.Decoder(_Line)
        for text in lines:
            try:
                line = decoder.decode(text)
            except msgspec.DecodeError:  # cut short by a crash, or from another version: skip it
                continue
            if line.outcome in {"passed", "failed"}:
                timing = line.timing
                seconds = sum(filter(None, (timing.setup_s, timing.agent_s, timing.evaluation_s)))
                for key in _keys(line.case.id, line.case.model, line.case.environment):
                    known[key].append(seconds)
        self._medians = {key: median(seconds) for key, seconds in known.items()}

    @classmethod
    def of_runs(cls, runs: Path, newest: int = 20) -> Times:
        """Return the times of the newest runs in that folder.

        Runs are ordered by the time of their last record, because a merged run may have any name.
        """
        found = (file for file in runs.glob("*/results.jsonl") if not file.parent.is_symlink())
        files = sorted(found, key=lambda file: (file.stat().st_mtime_ns, file), reverse=True)
        return cls(line for file in files[:newest] for line in file.read_bytes().splitlines())

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
