"""Finds what a mistyped name may have meant."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

_MOST = 3


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Return the known names that are most like this one: those that contain it, and those with few other letters."""
    parts = [one for one in known if name.lower() in one.lower()]
    alike = get_close_matches(name, known, _MOST)
    return list(dict.fromkeys([*alike, *parts]))[:_MOST]
