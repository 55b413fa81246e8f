"""Makes the text of a submission safe to print and to store."""

from __future__ import annotations

import re

MAX_CHARACTERS = 4_000
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?")


def printable(text: str) -> str:
    """Return the text without terminal escapes, control characters and broken encodings.

    Only the end of a long text is kept.
    """
    tail = clean(text[-2 * MAX_CHARACTERS :])
    return tail if len(tail) <= MAX_CHARACTERS else "…" + tail[1 - MAX_CHARACTERS :]


def clean(text: str) -> str:
    """Return the whole text without terminal escapes, control characters and broken encodings."""
    text = _ESCAPE.sub("", text)
    return "".join(character for character in text if character.isprintable() or character in "\n\t")
