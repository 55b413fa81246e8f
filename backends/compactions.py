"""Counts compactions by their signs: a CLI may tell one compaction in several ways."""

from __future__ import annotations

from msgspec import Struct


class Compactions(Struct):
    """How often each sign of a compaction occurred, in all and since the last tool call."""

    all: dict[str, int] = {}
    since_call: dict[str, int] = {}

    @property
    def total(self) -> int:
        """How many compactions there were: as many as the most frequent sign tells."""
        return max(self.all.values(), default=0)

    @property
    def in_a_row(self) -> int:
        """How many of them came since the last tool call."""
        return max(self.since_call.values(), default=0)

    def add(self, sign: str) -> None:
        """Count one sign of a compaction."""
        self.all[sign] = self.all.get(sign, 0) + 1
        self.since_call[sign] = self.since_call.get(sign, 0) + 1

    def called(self) -> None:
        """Note that a tool was called."""
        self.since_call.clear()
