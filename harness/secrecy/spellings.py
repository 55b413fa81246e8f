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

_ANCHOR: Final = 4
"""How many characters a search looks for at first. Most places where these occur are not the secret."""


class Found(Struct, frozen=True):
    """A place in some bytes, from `start` up to `end`, that holds a secret, or most of it.

    If it is `cut`, the bytes end before the secret does. Then `length` says how many of its characters they hold.
    """

    start: int
    end: int
    length: int
    cut: bool = False


class Spelling:
    """One way of writing a secret. Each of its characters may be escaped, as in a URL, in JSON or in HTML."""

    def __init__(self, text: str) -> None:
        self._escapes = tuple(_escapes(one) for one in text)
        self._most = max(FEWEST, len(text) * 3 // 4)
        self._anchor = text[:_ANCHOR].encode()
        firsts = {escape[:1] for escape in self._escapes[0]}
        self._first = re.compile(b"[" + b"".join(map(re.escape, sorted(firsts))) + b"]")
        self._begin = re.compile(b"".join(map(_any_of, self._escapes[:_ANCHOR])))

    def find(self, data: bytes, *, escaped: bool) -> Iterator[Found]:
        """Yield the places that hold the secret, and those near the end that may.

        `escaped` says whether the data may hold any escaped character (`has_escapes`).
        """
        starts = {found.start() for found in self._begin.finditer(data)} if escaped else set(places(self._anchor, data))
        tail = len(data) - (_ANCHOR * _LONGEST_ESCAPE if escaped else _ANCHOR)
        starts.update(found.start() for found in self._first.finditer(data, max(0, tail)))
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
                rest = data[here : here + _LONGEST_ESCAPE]
                if here + len(rest) == len(data) and any(escape.startswith(rest) for escape in escapes):
                    return Found(start, len(data), length, cut=True)
                return Found(start, here, length) if length >= self._most else None
        return Found(start, here, len(self._escapes))


_LONGEST_ESCAPE: Final = 8
_MARKS: Final = (b"%", b"\\u", b"\\/", b'\\"', b"\\\\", b"&#")
"""How escapes begin. At the end of some bytes, one may have only begun."""


def has_escapes(data: bytes) -> bool:
    """Return whether the data may hold an escaped character."""
    return any(mark in data for mark in _MARKS) or data.endswith((b"\\", b"&"))


def _any_of(escapes: Iterable[bytes]) -> bytes:
    return b"(?:" + b"|".join(map(re.escape, escapes)) + b")"


def places(part: bytes, data: bytes) -> Iterator[int]:
    """Yield each place of a part of some data."""
    at = data.find(part)
    while at >= 0:
        yield at
        at = data.find(part, at + 1)


@cache
def _escapes(one: str) -> tuple[bytes, ...]:
    """Return the ways of writing a character: in URLs (once or twice), in JSON and in HTML."""
    code = ord(one)
    hexadecimal = {f"{code:02x}", f"{code:02X}"}
    found = {one, f"&#{code};"}
    for digits in hexadecimal:
        found |= {f"%{digits}", f"%25{digits}", f"\\u00{digits}", f"\\\\u00{digits}", f"&#x{digits};", f"&#X{digits};"}
    if one in '/"\\':
        found.add(f"\\{one}")
    return tuple(sorted((each.encode() for each in found), key=len, reverse=True))


@lru_cache(maxsize=64)
def spellings(secret: str) -> tuple[Spelling, ...]:
    """Return every spelling of a secret. There is none for a secret that is too short to be told from chance."""
    if len(secret) < FEWEST:
        return ()
    data = secret.encode()
    texts = [secret, data.hex(), data.hex().upper(), *_base64(data)]
    return tuple(Spelling(text) for text in dict.fromkeys(texts) if len(text) >= FEWEST)


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
