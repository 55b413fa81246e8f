"""Prepares what agents wrote for JSON: every reader must be able to read it, whatever they wrote."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

_DEEPEST = 60
"""How many levels of lists and objects are kept. Some readers of JSON refuse more than a hundred."""

_LEVELS = 160
"""How many levels a document may have."""


def plain(value: Any, levels: int = _DEEPEST) -> Any:
    """Return JSON data in which every text can be encoded, every number is finite, and nothing nests too deeply.

    A lone surrogate becomes `?`, a number that is not finite becomes `None`, and what nests too deeply becomes a text.
    """
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        case float():
            return value if math.isfinite(value) else None
        case dict() | list() | tuple() if not levels:
            return "(nested too deeply)"
        case dict():
            return {plain(str(key)): plain(item, levels - 1) for key, item in value.items()}
        case list() | tuple():
            return [plain(item, levels - 1) for item in value]
    return value


def json_text(value: Any) -> str:
    """Return any JSON data as a text of JSON. A text is returned as it is."""
    return plain(value) if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


def json_bytes(document: Any) -> bytes:
    """Return a document as JSON, with every text in it made `plain`. What agents wrote in it must be plain already."""
    return msgspec.json.encode(plain(document, _LEVELS))
