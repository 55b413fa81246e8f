"""What a subscription's service says about its quota: how much of each window is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

_CLAUDE: Final = "anthropic-ratelimit-unified-"
_CHATGPT: Final = "x-codex-"

_CLAUDE_WINDOWS: Final = ("5h", "7d", "7d_oi", "overage")
_CHATGPT_WINDOWS: Final = ("primary", "secondary")


class QuotaWindow(Struct, frozen=True, kw_only=True):
    """A window of a subscription's quota, by its service's name or its length: `5h`, `7d`.

    `used` is the share that is used: 1 is all of it. `resets_at` is when it begins anew, in UTC, or `None` if the
    service does not tell.
    """

    name: str
    used: float
    resets_at: str | None = None


def quota(headers: Mapping[str, str]) -> list[QuotaWindow] | None:
    """Return the windows that an answer's headers tell of, or `None` if there are none. Header names are lower-case."""
    found = [*filter(None, (_claude(headers, name) for name in _CLAUDE_WINDOWS))]
    found += [*filter(None, (_chatgpt(headers, name) for name in _CHATGPT_WINDOWS))]
    return found or None


def _claude(headers: Mapping[str, str], name: str) -> QuotaWindow | None:
    used = _number(headers.get(f"{_CLAUDE}{name}-utilization"))
    if used is None:
        return None
    return QuotaWindow(name=name, used=used, resets_at=_time(headers.get(f"{_CLAUDE}{name}-reset")))


def _chatgpt(headers: Mapping[str, str], name: str) -> QuotaWindow | None:
    percent = _number(headers.get(f"{_CHATGPT}{name}-used-percent"))
    if percent is None:
        return None
    minutes = _number(headers.get(f"{_CHATGPT}{name}-window-minutes"))
    return QuotaWindow(
        name=name if minutes is None else _length(minutes),
        used=round(percent / 100, 6),
        resets_at=_time(headers.get(f"{_CHATGPT}{name}-reset-at")),
    )


def _length(minutes: float) -> str:
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes >= size and minutes % size == 0:
            return f"{minutes / size:g}{unit}"
    return f"{minutes:g}min"


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _time(text: str | None) -> str | None:
    seconds = _number(text)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):  # no such time
        return None
