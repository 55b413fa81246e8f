"""Puts the events of a Responses stream in the order in which the service itself sends them.

litellm 1.110 ends a text only after the calls that follow it. Codex keeps a conversation in the order of these ends,
and would put the calls before the text.
"""

from __future__ import annotations

from typing import Any, Final

_END: Final = "response.output_item.done"
_LAST: Final = ("response.completed", "response.incomplete", "response.failed")

Event = dict[str, Any]


class InOrder:
    """Holds back the events of an item until the item before it has ended."""

    def __init__(self) -> None:
        self._turn = 0
        self._held: list[Event] = []
        self._sent = 0

    def add(self, event: Event) -> list[Event]:
        """Take the next event, and return those that may be sent now."""
        self._held.append(event)
        if event["type"] in _LAST:
            self._held.sort(key=lambda held: held.get("output_index", len(self._held)))
            ready, self._held = self._held, []
        else:
            ready = self._ready()
        return [self._numbered(one) for one in ready]

    def _ready(self) -> list[Event]:
        ready: list[Event] = []
        while True:
            now = [held for held in self._held if held.get("output_index", self._turn) <= self._turn]
            if not now:
                return ready
            self._held = [held for held in self._held if held not in now]
            ready += now
            self._turn += sum(one["type"] == _END and one["output_index"] == self._turn for one in now)

    def _numbered(self, event: Event) -> Event:
        self._sent += 1
        return {**event, "sequence_number": self._sent - 1}
