"""The ways in which a text may hold a secret: as it is, in hexadecimal or base64, and each with escaped characters."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Final

from msgspec import Struct

FEWEST: Final = 8
"""How many characters a secret must have to be looked for. A shorter text occurs by chance."""

_ANCHOR: Final = 32
"""How many characters a pattern looks for. They are more than the known beginning of any service's keys.

A text of such beginnings could otherwise keep the search busy for minutes.
"""

_FEW: Final = 4
"""How many characters a pattern looks for near the end of the data, where the rest may be missing."""


class Found(Struct, frozen=True):
    """A place in some bytes, from `start` up to `end`, that holds a secret, or most of it.

    If it is `cut`, the bytes end before the secret does. Then `length` says how many of its characters they hold.
    """

    start: int
    end: int
    length: int
    cut: bool = False


class Spelling:
    """One way of writing a secret. Each of its characters may be escaped, as in a URL, in JSON or in HTML.

    Line breaks and spaces may lie between its characters, because base64 and long lines are wrapped. `pairs` says that
    it is hexadecimal: in letters of either case, and with something between the bytes.
    """

    def __init__(self, text: str, *, pairs: bool = False) -> None:
        self._escapes = tuple(_at(index, one, pairs=pairs) for index, one in enumerate(text))
        self._longest = max(len(escape) for escapes in self._escapes for escape in escapes)
        self._most = max(FEWEST, len(text) * 3 // 4)
        firsts = {escape[:1] for escape in self._escapes[0]}
        self._first = re.compile(b"[" + b"".join(map(re.escape, sorted(firsts))) + b"]")
        beginnings = (self._escapes[: min(_ANCHOR, self._most)], self._escapes[:_FEW])
        self._anchors = tuple((re.compile(b"".join(map(_any_of, one))), len(one) * self._longest) for one in beginnings)

    def find(self, data: bytes) -> Iterator[Found]:
        """Yield the places that hold the secret, and those near the end that may."""
        (long, reach), (short, last) = self._anchors
        starts = {
            *_starts(long, data, 0),
            *_starts(short, data, len(data) - reach),
            *_starts(self._first, data, len(data) - last),
        }
        for start in sorted(starts):
            found = self._follow(data, start)
            if found is not None:
                yield found

    def _follow(self, data: bytes, start: int) -> Found | None:
        """Return the secret that begins at `start`, or None if there is none."""
        here = start
        for length, escapes in enumerate(self._escapes):
            for escape in escapes:
                if data.startswith(escape, here):
                    here += len(escape)
                    break
            else:
                rest = data[here : here + self._longest]
                if here + len(rest) == len(data) and any(escape.startswith(rest) for escape in escapes):
                    return Found(start, len(data), length, cut=True)
                return Found(start, here, length) if length >= self._most else None
        return Found(start, here, len(self._escapes))


def _starts(pattern: re.Pattern[bytes], data: bytes, after: int) -> Iterator[int]:
    """Yield each place after this one where a pattern matches, also within another match."""
    at = max(0, after)
    while found := pattern.search(data, at):
        yield found.start()
        at = found.start() + 1


def _any_of(escapes: Iterable[bytes]) -> bytes:
    return b"(?:" + b"|".join(map(re.escape, escapes)) + b")"


def places(part: bytes, data: bytes) -> Iterator[int]:
    """Yield each place of a part of some data."""
    at = data.find(part)
    while at >= 0:
        yield at
        at = data.find(part, at + 1)


_WRAPPED: Final = ("\n", "\r\n", "\\n", "\\r\\n", " ")
"""What may lie between two characters, as it is or in JSON."""
_BETWEEN_BYTES: Final = (*_WRAPPED, ":", "-", ",", ", ", "0x", " 0x", ",0x", ", 0x", "\\x", "\\\\x")
"""What may lie between two bytes in hexadecimal."""


def _at(index: int, one: str, *, pairs: bool) -> tuple[bytes, ...]:
    """Return the ways of writing the character of a secret at this place, the longest first."""
    found = set(_escapes(one))
    plain = {one, one.upper()} if pairs else {one}
    found |= {letter.encode() for letter in plain}
    if index and not (pairs and index % 2):
        between = _BETWEEN_BYTES if pairs else _WRAPPED
        found |= {f"{gap}{letter}".encode() for gap in between for letter in plain}
    return tuple(sorted(found, key=len, reverse=True))


@cache
def _escapes(one: str) -> frozenset[bytes]:
    """Return the ways of writing a character: in URLs (once or twice), in JSON, in HTML, in source and in mail."""
    code = ord(one)
    found = {one, *(f"&#{code:0{width}d};" for width in range(2, 8)), f"\\{code:03o}", f"\\\\{code:03o}"}
    for digits in {f"{code:02x}", f"{code:02X}"}:
        found |= {f"%{digits}", f"%25{digits}", f"%u00{digits}", f"={digits}", f"\\x{digits}", f"\\\\x{digits}"}
        found |= {f"\\u00{digits}", f"\\\\u00{digits}", f"\\u{{{digits}}}", f"\\\\u{{{digits}}}"}
        found |= {f"&#{mark}{zeros}{digits};" for mark in "xX" for zeros in ("", "00", "0000")}
    if one in '/"\\':
        found.add(f"\\{one}")
    return frozenset(each.encode() for each in found)


@lru_cache(maxsize=64)
def spellings(secret: str) -> tuple[Spelling, ...]:
    """Return every spelling of a secret. There is none for a secret that is too short to be told from chance."""
    if len(secret) < FEWEST:
        return ()
    data = secret.encode()
    texts = dict.fromkeys((secret, *_base64(data)))
    return (Spelling(data.hex(), pairs=True), *(Spelling(text) for text in texts if len(text) >= FEWEST))


def _base64(data: bytes) -> Iterator[str]:
    """Yield what base64 makes of a secret wherever it lies in the encoded bytes, in both alphabets.

    The characters at its ends that depend on the bytes around it are left out.
    """
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        first = -(-8 * before // 6)
        last = 8 * (before + len(data)) // 6
        inner = encoded[first:last]
        yield inner
        yield inner.translate(_URL_SAFE)


_URL_SAFE: Final = str.maketrans("+/", "-_")
