"""Shortens the strings of a JSON text that is too long to keep."""

from __future__ import annotations

import re

KEPT = 8192
"""How many bytes of a string are kept. No more of a shell command is ever read."""
KEPT_AT_LEAST = 256
"""How many bytes of a string are kept once half of the room is used. Ids, names and numbers are shorter."""

_BODY = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_WHOLE_ESCAPES = re.compile(rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89abAB][0-9a-fA-F]{2}.{0,5}\Z)[0-9a-fA-F]{4})*+", re.DOTALL)
"""The longest beginning of a string that ends neither within an escape nor within a surrogate pair."""


class Shortener:
    """Shortens the strings of a JSON text that arrives in pieces, so that the whole fits into `room` bytes.

    Everything but the strings stays as it is, so a text with too many parts may still not fit. The result is JSON if
    the text is. It holds no more than one shortened string.
    """

    def __init__(self, room: int) -> None:
        self._half = room // 2
        self._most = min(KEPT, room // 16)
        self._least = min(KEPT_AT_LEAST, self._most)
        self._written = 0
        self._inside = False
        self._string = bytearray()
        self._is_cut = False
        self._backslash = b""

    def feed(self, piece: bytes | bytearray | memoryview) -> bytes:
        """Return the next part of the shortened text."""
        data, out, at = self._backslash + bytes(piece), bytearray(), 0
        self._backslash = b""
        while at < len(data):
            if self._inside:
                found = _BODY.match(data, at)
                end = found.end() if found else at
                self._keep(data, at, end)
                if data[end : end + 1] == b"\\":  # what it escapes comes with the next piece
                    self._backslash = b"\\"
                elif end < len(data):
                    string = self.flush() + b'"'
                    out += string
                    self._written += len(string)
                    self._inside = False
                at = end + 1
            else:
                quote = data.find(b'"', at)
                end = len(data) if quote < 0 else quote + 1
                out += memoryview(data)[at:end]
                self._written += end - at
                self._inside = quote >= 0
                at = end
        return bytes(out)

    def flush(self) -> bytes:
        """Return what is held of a string that has not ended."""
        string = bytes(self._string)
        if self._is_cut:
            found = _WHOLE_ESCAPES.match(string)
            string = string[: found.end() if found else 0].decode("utf-8", "ignore").encode()
        self._string.clear()
        self._is_cut = False
        return string

    def _keep(self, data: bytes, start: int, end: int) -> None:
        most = self._most if self._written < self._half else self._least
        kept = min(end, start + max(0, most - len(self._string)))
        self._string += memoryview(data)[start:kept]
        self._is_cut = self._is_cut or kept < end
