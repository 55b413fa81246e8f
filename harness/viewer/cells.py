"""Remembers the solve rates of cases, because their intervals take long to compute."""

from __future__ import annotations

from collections.abc import Iterable

from harness.page.overview import Cell, cells
from harness.verdict.rules import Rules
from harness.verdict.trials import CaseKey, Trial, by_case


class KnownCells:
    """The solve rates of the cases that were asked for last."""

    def __init__(self) -> None:
        self._known: dict[CaseKey, tuple[list[Trial], list[Cell]]] = {}

    def of(self, trials: Iterable[Trial]) -> list[Cell]:
        """Return the solve rate of each case. Only cases with other trials than before are computed."""
        before, self._known = self._known, {}
        for key, theirs in by_case(trials).items():
            known = before.get(key)
            self._known[key] = known if known and known[0] == theirs else (theirs, cells(theirs, Rules()))
        return [cell for _, found in self._known.values() for cell in found]
