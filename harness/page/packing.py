"""Packs data into text that an HTML file can hold: JSON, compressed, in base64."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

BLOCK = 400_000
"""About how many bytes of JSON one block holds. The page unpacks a whole block to show one of its cases."""


MARK = "\x01"
_SHORT = 24
"""Shorter texts are not worth a place of their own."""


def packed(value: Any) -> str:
    """Return a value as compressed JSON in base64. Equal values give equal texts."""
    return base64.b64encode(gzip.compress(msgspec.json.encode(value), 9, mtime=0)).decode()


class Block(Struct, frozen=True):
    """Some packed details. `name` is the id of the element that holds them."""

    name: str
    text: str


class Blocks:
    """Collects the details of cases into blocks.

    A text that occurs in several cases of a block is stored once: a block is a list of texts and a list of details, in
    which a mark and a number stand for a text. No text may contain the mark, which is a control character.

    `key` says where the next details go: the number of the block, and their place in it.
    """

    def __init__(self) -> None:
        self._number = 0
        self._begin()

    @property
    def key(self) -> str:
        """The key of the next details: `BLOCK.PLACE`."""
        return f"{self._number}.{len(self._held)}"

    def add(self, details: Any) -> Iterator[Block]:
        """Add the details of a case, as builtin types. Yield the block if it is full."""
        known = len(self._texts)
        raw = msgspec.json.encode(self._shared(details))
        self._held.append(msgspec.Raw(raw))
        self._size += len(raw) + sum(map(len, list(self._texts)[known:]))
        if self._size >= BLOCK:
            yield from self.finish()

    def finish(self) -> Iterator[Block]:
        """Yield what is left, if there is anything."""
        if self._held:
            yield Block(f"block-{self._number}", packed([list(self._texts), self._held]))
            self._number += 1
            self._begin()

    def _begin(self) -> None:
        self._texts: dict[str, int] = {}
        self._held: list[msgspec.Raw] = []
        self._size = 0

    def _shared(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if len(value) < _SHORT else f"{MARK}{self._texts.setdefault(value, len(self._texts))}"
        if isinstance(value, dict):
            return {key: self._shared(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._shared(item) for item in value]
        return value
