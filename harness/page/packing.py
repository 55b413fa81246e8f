"""Packs data into text that an HTML file can hold: JSON, compressed, in base64."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from typing import Any

import msgspec

BLOCK = 400_000
"""About how many bytes of JSON one block holds. The page unpacks a whole block to show one of its cases."""


def packed(value: Any) -> str:
    """Return a value as compressed JSON in base64. Equal values give equal texts."""
    return base64.b64encode(gzip.compress(msgspec.json.encode(value), 9, mtime=0)).decode()


class Block(msgspec.Struct, frozen=True):
    """Some packed details. `name` is the id of the element that holds them."""

    name: str
    text: str


class Blocks:
    """Collects the details of cases into blocks. Similar cases in one block compress well.

    `key` says where the next details go: the number of the block, and their place in it.
    """

    def __init__(self) -> None:
        self._number = 0
        self._held: list[msgspec.Raw] = []
        self._size = 0

    @property
    def key(self) -> str:
        """The key of the next details: `BLOCK.PLACE`."""
        return f"{self._number}.{len(self._held)}"

    def add(self, details: Any) -> Iterator[Block]:
        """Add the details of a case. Yield the block if it is full."""
        raw = msgspec.json.encode(details)
        self._held.append(msgspec.Raw(raw))
        self._size += len(raw)
        if self._size >= BLOCK:
            yield from self.finish()

    def finish(self) -> Iterator[Block]:
        """Yield what is left, if there is anything."""
        if self._held:
            yield Block(f"block-{self._number}", packed(self._held))
            self._number, self._held, self._size = self._number + 1, [], 0
