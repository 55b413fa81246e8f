"""Finds what a mistyped name may have meant, and says so."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from harness.environments.kinder_ids import all_ids, short_name

_MOST = 3
_FEW = 30
"""How many names a message lists."""

_WITHOUT_FILE = (
    "; without a file, kinder/ID is any environment of KinDER, and a file with `kind: gymnasium` makes one of any "
    "Gymnasium environment (docs/environments.md)"
)


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Return the known names that are most like this one: those that contain it, and those with few other letters."""
    parts = [one for one in known if name.lower() in one.lower()]
    alike = get_close_matches(name, known, _MOST)
    return list(dict.fromkeys([*alike, *parts]))[:_MOST]


def listed(names: Iterable[str]) -> str:
    """Return names as a list for messages. Of many names, only the first are there."""
    every = list(names)
    more = f", … ({len(every)} in all)" if len(every) > _FEW else ""
    return ", ".join(every[:_FEW]) + more or "(none)"


def hint(name: str, known: Collection[str], group: str = "") -> str:
    """Return the part of a message that helps with a wrong name: near names, and all known ones if they are few.

    The names are those of a group of the configuration, such as `environment`.
    """
    ids = {short_name(one): one for one in all_ids()} if group == "environment" else {}
    wanted = {**ids, **{one: one for one in known}}
    near = [wanted[one] for one in nearest(short_name(name) if ids else name, wanted)] if name else []
    meant = f"did you mean {' or '.join(near)}?" if near else ""
    every = "" if meant and len(known) > _FEW else f"choose from: {listed(known)}"
    return " ".join(filter(None, (meant, every))) + (_WITHOUT_FILE if ids else "")
