"""Says what came from an address where there is something else than a model service, such as the page of a proxy."""

from __future__ import annotations

import re
from typing import Final

from harness.visible import visible

_LOOKED_AT: Final = 20_000
_SHOWN: Final = 200
_UNSEEN: Final = re.compile(r"<(script|style)\b.*?(</\1>|\Z)|<!--.*?(-->|\Z)|<[^>]*(>|\Z)", re.DOTALL | re.IGNORECASE)
"""What a reader of a page does not see: programs, styles, comments and tags."""


def no_answer(kind: str, body: bytes | bytearray) -> str:
    """Return what to tell of an answer that is none: its type, and its first words."""
    text = body[:_LOOKED_AT].decode("utf-8", "replace")
    words = " ".join(_UNSEEN.sub(" ", text).split() if text.lstrip().startswith("<") else text.split())
    shown = visible(words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…") or "it is empty"
    what = f"this is no answer of a model (it is {kind or 'of no type'})"
    return f"{what}: is there a model service at this address? It says: {shown}"
