"""How fast all processes together may ask a provider. It stands in the file of the shared budgets."""

from __future__ import annotations

import sqlite3
from typing import Final

from msgspec import Struct

from harness.budget_conf import PaceConf

WINDOW_S: Final = 61.0
"""Seconds that count as a minute: a request may leave a little later than it was admitted."""

TABLE: Final = """
CREATE TABLE IF NOT EXISTS paced(
    id TEXT PRIMARY KEY, provider TEXT NOT NULL, holder TEXT NOT NULL, at REAL NOT NULL, tokens INTEGER NOT NULL,
    open INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS paced_by_provider ON paced(provider, at);
"""


_SUMS: Final = """
SELECT coalesce(sum(open), 0), coalesce(sum(at > ?1), 0), coalesce(sum(CASE WHEN at > ?1 THEN tokens END), 0)
FROM paced WHERE provider = ?2
"""


class SharedPace(Struct, frozen=True):
    """The pace of a provider, by the name by which all processes know it."""

    provider: str
    limits: PaceConf


class TooFast(Struct, frozen=True):
    """A request must wait, because a limit of its provider's pace leaves it no room now."""

    limit: str


def too_fast(database: sqlite3.Connection, pace: SharedPace, tokens: int, now: float) -> TooFast | None:
    """Return why a request that may use so many tokens must wait, or `None` if it need not.

    A request that alone may use more tokens than a minute allows has room when no other was sent in the last minute.
    """
    since = now - WINDOW_S
    database.execute("DELETE FROM paced WHERE open = 0 AND at <= ?", [since])
    row = database.execute(_SUMS, [since, pace.provider]).fetchone()
    (being_answered, recent, used), limits = row, pace.limits
    if limits.concurrent is not None and being_answered >= limits.concurrent:
        return TooFast("concurrent")
    if limits.requests_per_minute is not None and recent >= limits.requests_per_minute:
        return TooFast("requests_per_minute")
    if limits.tokens_per_minute is not None and recent and used + tokens > limits.tokens_per_minute:
        return TooFast("tokens_per_minute")
    return None


def enter(database: sqlite3.Connection, pace: SharedPace, name: str, holder: str, tokens: int, now: float) -> None:
    """Note that a request is about to be sent."""
    database.execute("INSERT INTO paced VALUES(?, ?, ?, ?, ?, 1)", [name, pace.provider, holder, now, tokens])


def leave(database: sqlite3.Connection, name: str, tokens: int) -> None:
    """Note that a request has ended, and what it has used."""
    database.execute("UPDATE paced SET open = 0, tokens = ? WHERE id = ?", [tokens, name])


def leave_all(database: sqlite3.Connection, holder: str) -> None:
    """Note that the requests of a process have ended."""
    database.execute("UPDATE paced SET open = 0 WHERE holder = ?", [holder])
