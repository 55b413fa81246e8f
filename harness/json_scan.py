"""Bounds what a JSON text takes once it is parsed, before anything parses it.

A parser builds an object for each value. 20 MB of `[],[],...` become 670 MB of lists. This module counts the values of
a text piece by piece, as it arrives, and keeps none of it.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

MAX_VALUES: Final = 300_000
"""The most values and strings that a text may have. Conversations of coding agents have a few thousand."""

MAX_DEPTH: Final = 200
"""How deeply lists and objects may be nested."""

MAX_TEXT: Final = 128 * 1024 * 1024
"""The most bytes that the text and its strings may take as Python strings: up to 4 for each character."""

_PIECE: Final = 64 * 1024
"""How much of a whole text is scanned at a time, because scanning takes a multiple of it."""

_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_NOT_WIDEST: Final = bytes(range(0xF0))
"""All bytes except those that begin a character of four bytes in UTF-8."""

_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class JsonTooLarge(ValueError):
    """A JSON text would take too much memory once it is parsed. The message says which bound it exceeds."""


class JsonScan:
    """Scans one JSON text. Feed it all pieces in order, before the text is parsed.

    The counts hold for valid JSON in UTF-8. For anything else they hold up to the first mistake, where a parser stops.
    Python's parser also reads UTF-16 and UTF-32. These have zero bytes, and UTF-8 never has any in JSON.
    """

    def __init__(self) -> None:
        self._values = 0
        self._quotes = 0
        self._depth = 0
        self._bytes = 0
        self._width = 1
        self._in_string = False
        self._escaped = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece. Raise `JsonTooLarge` as soon as the text exceeds a bound, or is not in UTF-8."""
        if not piece:
            return
        if b"\0" in piece:
            raise JsonTooLarge("it is not in UTF-8, and in UTF-16 or UTF-32 its values are not counted")
        self._weigh(piece)
        if self._escaped:
            piece = piece[1:]
        plain = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        self._escaped = plain.endswith(b"\\")
        quotes = plain.count(b'"')
        self._quotes += quotes
        self._check_values()  # before each string becomes an object here
        outside = b"".join(plain.split(b'"')[self._in_string :: 2])
        self._in_string ^= bool(quotes % 2)
        self._values += sum(map(outside.count, (b",", b"[", b"{")))
        self._check_values()
        self._nest(outside.translate(None, _NOT_BRACKETS))

    def _weigh(self, piece: bytes) -> None:
        """Estimate the memory of the text's characters. The widest of them sets the width of all in its string."""
        self._bytes += len(piece)
        if self._width < 4 and (not piece.isascii() or b"\\u" in piece):
            widest = piece.translate(None, _NOT_WIDEST) or b"\\ud" in piece or b"\\uD" in piece
            self._width = 4 if widest else 2
        if self._bytes * self._width * 2 > MAX_TEXT:
            raise JsonTooLarge(f"its text would take more than {MAX_TEXT} bytes of memory")

    def _check_values(self) -> None:
        if self._values + self._quotes // 2 > MAX_VALUES:
            raise JsonTooLarge(f"it has more than {MAX_VALUES} values")

    def _nest(self, brackets: bytes) -> None:
        levels = list(accumulate(map(_STEPS.__getitem__, brackets), initial=self._depth))
        self._depth = levels[-1]
        if max(levels) > MAX_DEPTH:
            raise JsonTooLarge(f"it is nested more than {MAX_DEPTH} levels deep")


def scan(text: bytes | bytearray) -> None:
    """Raise `JsonTooLarge` if a whole JSON text exceeds a bound."""
    scanning = JsonScan()
    for start in range(0, len(text), _PIECE):
        scanning.feed(bytes(text[start : start + _PIECE]))
