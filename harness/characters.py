"""Characters that an output cannot write, such as an arrow where `PYTHONIOENCODING=ascii`.

Importing this module registers an error handler for them. It writes `->` instead of an arrow.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
from typing import TextIO

from harness.visible import visible

ERRORS = "proctor-plain"
"""The name of the error handler, for `str.encode` and for streams."""

_PLAIN = {"→": "->", "±": "+/-", "…": "...", "·": "-", "≤": "<=", "≥": ">="}


def plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded. What has no plain form is escaped as in JSON, so that JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    written = (_PLAIN.get(one, json.dumps(one)[1:-1]) for one in lacking)
    return "".join(written), error.end


codecs.register_error(ERRORS, plain)


def tolerate(stream: TextIO) -> None:
    """Let a stream replace the characters that it cannot write, instead of raising `UnicodeEncodeError`."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors=ERRORS)


def printable(text: str) -> str:
    """Return the text as the terminal can show it, without anything that steers the terminal."""
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    return visible(text).encode(encoding, ERRORS).decode(encoding)
