"""Unpacks the answers of model services, within bounds. A small compressed answer can hold any amount of data."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from harness.gateway.provider import StreamCut

PLAIN: Final = frozenset(("", "identity"))
PACKED: Final = frozenset(("gzip", "x-gzip", "deflate"))
"""The encodings that are unpacked. The gateway asks for none, but some services compress unasked."""

_PIECE: Final = 256 * 1024
"""How many bytes are unpacked at a time."""


async def within(chunks: AsyncIterator[bytes], most: int) -> AsyncGenerator[bytes]:
    """Yield the chunks of an answer. Raise `StreamCut` when there are more than `most` bytes."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise StreamCut(f"the model service's answer is larger than {most} bytes")
        yield chunk


async def unpacked(chunks: AsyncIterator[bytes], encoding: str) -> AsyncGenerator[bytes]:
    """Yield what packed chunks hold, in pieces of a bounded size. Raise `StreamCut` if they are not packed."""
    unpacker = _Unpacker(encoding)
    try:
        async for chunk in chunks:
            while chunk and not unpacker.ended:
                piece, chunk = unpacker.unpack(chunk)  # noqa: PLW2901 (what is left of it)
                if piece:
                    yield piece
    except zlib.error as error:
        raise StreamCut(f"the model service's answer is not in encoding {encoding}, as it says: {error}") from None


class _Unpacker:
    """Unpacks gzip or deflate. Some services send deflate without the header of zlib."""

    def __init__(self, encoding: str) -> None:
        self._tries = [-zlib.MAX_WBITS] if encoding == "deflate" else []
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS if encoding == "deflate" else zlib.MAX_WBITS | 16)
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether the packed data has come to its end. What follows is ignored."""
        return self._inflate.eof

    def unpack(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Return the next piece, and the packed bytes that are left."""
        try:
            piece = self._inflate.decompress(chunk, _PIECE)
        except zlib.error:
            if self._begun or not self._tries:
                raise
            self._inflate = zlib.decompressobj(self._tries.pop())
            piece = self._inflate.decompress(chunk, _PIECE)
        self._begun = self._begun or bool(piece)
        return piece, self._inflate.unconsumed_tail
