"""Takes secrets out of bytes that pass, in pieces of any size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from harness.secrecy.spellings import FEWEST, Spelling

HIDDEN: Final = b"[key]"
"""What stands in the place of a secret."""


class Hider:
    """Takes secrets out of one text that comes in pieces. It holds back only bytes that may begin a secret."""

    def __init__(self, ways: Iterable[Spelling]) -> None:
        self._ways = tuple(ways)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Return what can be passed on after one more piece."""
        return self._pass(self._held + piece, ended=False)

    def finish(self) -> bytes:
        """Return what was held back, now that the text has ended. The beginning of a secret is hidden too."""
        return self._pass(self._held, ended=True)

    def _pass(self, data: bytes, *, ended: bool) -> bytes:
        found = sorted(
            (
                place
                for way in self._ways
                for place in way.find(data)
                if not (place.cut and ended and place.length < FEWEST)
            ),
            key=lambda place: (place.start, -place.end),
        )
        passed: list[bytes] = []
        here, self._held = 0, b""
        for place in found:
            if place.cut and not ended:
                if here <= place.start:
                    self._held = data[place.start :]
                    return b"".join([*passed, data[here : place.start]])
                continue
            if place.end > here:
                passed += [data[here : place.start], HIDDEN] if place.start >= here else []
                here = place.end
        return b"".join([*passed, data[here:]])


def hide(data: bytes, ways: Iterable[Spelling]) -> bytes:
    """Return a whole text without its secrets."""
    hider = Hider(ways)
    return hider.feed(data) + hider.finish()
