"""What the records of a part add up to."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.endings import Ending
from harness.launch.new_lines import NewLines
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
        self._lines = NewLines()
        self._records: dict[str, TalliedRecord] = {}

    def read(self, run: Path | None) -> None:
        """Take in what was written since the last call. Nothing happens without a run."""
        for line in self._lines.read(run / RESULTS) if run is not None else ():
            with suppress(*MALFORMED):  # whoever reads the run will say so
                record = msgspec.json.decode(line, type=TalliedRecord)
                self._records[record.session] = record

    @property
    def outcomes(self) -> dict[str, int]:
        """How many sessions have a result, by outcome."""
        return dict(sorted(Counter(one.outcome for one in self._records.values() if one.measured).items()))

    @property
    def cost_usd(self) -> float:
        """What all sessions cost, as far as that is known."""
        return sum(one.cost_usd for one in self._records.values())
