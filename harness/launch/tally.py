"""What the records of a part add up to. Its file of records is read from where it was left, because it may be long."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.endings import Ending
from harness.malformed import MALFORMED
from harness.results.run_folder import RESULTS

NOT_MEASURED = frozenset({Ending.INTERRUPTED, Ending.BUDGET_SPENT})
"""The endings of sessions that run again when the run goes on."""


class _TalliedCost(Struct, frozen=True):
    cost_usd: float | None = None


class _TalliedUsage(Struct, frozen=True):
    metered: _TalliedCost | None = None


class TalliedRecord(Struct, frozen=True):
    """The part of a record that is counted."""

    session: str
    outcome: str
    ending: str | None = None
    usage: _TalliedUsage = _TalliedUsage()

    @property
    def measured(self) -> bool:
        """Whether the session has a result that stays."""
        return self.ending not in NOT_MEASURED

    @property
    def cost_usd(self) -> float:
        """What the session cost, as far as that is known."""
        metered = self.usage.metered
        return 0.0 if metered is None or metered.cost_usd is None else metered.cost_usd


class Tally:
    """Follows the records of a run. The last record of a session counts."""

    def __init__(self) -> None:
        self._offset = 0
        self._file: tuple[int, int] | None = None
        self._records: dict[str, TalliedRecord] = {}

    def read(self, run: Path | None) -> None:
        """Take in what was written since the last call. A file that was written anew is read from its beginning."""
        if run is None:
            return
        try:
            with (run / RESULTS).open("rb") as file:
                found = os.fstat(file.fileno())
                if (found.st_dev, found.st_ino) != self._file:
                    self._file, self._offset, self._records = (found.st_dev, found.st_ino), 0, {}
                file.seek(self._offset)
                whole, newline, _rest = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self._offset += len(whole) + len(newline)
        for line in whole.split(b"\n") if whole else ():
            try:
                record = msgspec.json.decode(line, type=TalliedRecord)
            except MALFORMED:  # whoever reads the run will say so
                continue
            self._records[record.session] = record

    @property
    def outcomes(self) -> dict[str, int]:
        """How many sessions have a result, by outcome."""
        return dict(sorted(Counter(one.outcome for one in self._records.values() if one.measured).items()))

    @property
    def cost_usd(self) -> float:
        """What all sessions cost, as far as that is known."""
        return sum(one.cost_usd for one in self._records.values())
