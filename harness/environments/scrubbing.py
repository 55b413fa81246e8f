"""Takes the places of code out of texts of an environment that an agent may read although its source is hidden."""

from __future__ import annotations

import re

_TRACE = re.compile(r"\s*Traceback \(most recent call last\).*", re.DOTALL)
_PLACES = (
    re.compile(r"\s*\([^\s()]+\.py[cx]?:\d+\)"),
    re.compile(r"File \"[^\"]*\"(?:, line \d+)?(?:, in \S+)?"),
    re.compile(r"(?<![\w.])~?/[\w.@+-]+(?:/[\w.@+-]+)+/?(?::\d+)?"),
    re.compile(r"[\w./-]+\.py[cx]?\b(?:, line \d+|:\d+)?"),
    re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>"),
)
LEFT_OUT = "…"
"""What stands for a place."""


def scrubbed(text: str) -> str:
    """Return a text without tracebacks, paths, names of Python files, lines in them, and addresses of objects."""
    text = _TRACE.sub(LEFT_OUT, text)
    for place in _PLACES:
        text = place.sub(LEFT_OUT, text)
    return text
