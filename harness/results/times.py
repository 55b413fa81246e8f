"""How long cases are expected to take, by what earlier runs recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from harness.case import Case

UNKNOWN_S = 60.0
"""What a case is expected to take of which nothing is known, in seconds."""


class _Names(Struct):
    id: str
    model: str
    environment: str


class _Timing(Struct):
    setup_s: float | None = None
    agent_s: float | None = None
    evaluation_s: float | None = None


class _Line(Struct):
    """What is needed of a record; other versions of it may differ in the rest."""

    case: _Names
    outcome: str
    timing: _Timing


class Times:
    """Medians of the seconds that graded cases took."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        known = defaultdict[tuple[str, ...], list[float]](list)
        decoder = msgspec.json.Decoder(_Line)
        for text in lines:
            try:
                line = decoder.decode(text)
            except msgspec.DecodeError:  # cut short by a crash, or of another version: there are others to learn from
                continue
            if line.outcome in {"passed", "failed"}:
                timing = line.timing
                seconds = sum(filter(None, (timing.setup_s, timing.agent_s, timing.evaluation_s)))
                for key in _keys(line.case.id, line.case.model, line.case.environment):
                    known[key].append(seconds)
        self._medians = {key: median(seconds) for key, seconds in known.items()}

    @classmethod
    def of_runs(cls, runs: Path, newest: int = 20) -> Times:
        """By the newest runs in that folder, by their last record: a merged run may have any name."""
        found = (file for file in runs.glob("*/results.jsonl") if not file.parent.is_symlink())
        files = sorted(found, key=lambda file: (file.stat().st_mtime_ns, file), reverse=True)
        return cls(line for file in files[:newest] for line in file.read_bytes().splitlines())

    def expected_s(self, case: Case) -> float:
        """Seconds: what the case took; else what others of its model took in its environment, its model, or the
        environment; else `UNKNOWN_S`.
        """
        keys = _keys(case.id, case.model.name, case.environment.name)
        return next((self._medians[key] for key in keys if key in self._medians), UNKNOWN_S)


def _keys(case: str, model: str, environment: str) -> tuple[tuple[str, ...], ...]:
    """What a time says something of, the closest first."""
    return (
        ("case", case),
        ("model and environment", model, environment),
        ("model", model),
        ("environment", environment),
    )
