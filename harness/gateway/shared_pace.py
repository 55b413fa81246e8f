"""How fast all processes together may ask a provider, and when it wants to be asked again.

It stands in the file of the shared budgets.
"""

from __future__ import annotations

import sqlite3
from typing import Final, Literal

from msgspec import Struct

from harness.budget_conf import PaceConf

WINDOW_S: Final = 61.0
"""Seconds that count as a minute: a request may leave a little later than it was admitted."""

TABLE: Final = """
CREATE TABLE IF NOT EXISTS paced(
    id TEXT PRIMARY KEY, provider TEXT NOT NULL, holder TEXT NOT NULL, at REAL NOT NULL, tokens INTEGER NOT NULL,
    open INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS paced_by_provider ON paced(provider, at);
CREATE TABLE IF NOT EXISTS held_back(
    provider TEXT NOT NULL, why TEXT NOT NULL, until REAL NOT NULL, PRIMARY KEY(provider, why)) WITHOUT ROWID;
"""

Why = Literal["retry_after", "loading"]
"""Why nobody asks a provider for a while: it told when to ask again, or it is loading, and one request looks at it."""

LONGEST_S: Final = 900.0
"""The longest that nobody asks a provider because it told so. Then one request finds out whether that still holds."""

_SUMS: Final = """
SELECT coalesce(sum(open), 0), coalesce(sum(at > ?1), 0), coalesce(sum(CASE WHEN at > ?1 THEN tokens END), 0)
FROM paced WHERE provider = ?2
"""


class SharedPace(Struct, frozen=True):
    """The pace of a provider, by the name by which all processes know it.

    `service` names it together with its address. Services that differ do not hold back one another.
    """

    provider: str
    limits: PaceConf = PaceConf()
    service: str = ""


class TooFast(Struct, frozen=True):
    """A request must wait, because a limit of its provider's pace leaves it no room now.

    It need not ask again for so many `seconds`, if that is known.
    """

    limit: str
    seconds: float = 0.0


def too_fast(database: sqlite3.Connection, pace: SharedPace, tokens: int, now: float) -> TooFast | None:
    """Return why a request that may use so many tokens must wait, or `None` if it need not.

    A request that alone may use more tokens than a minute allows has room when no other was sent in the last minute.
    """
    row = database.execute("SELECT max(until), why FROM held_back WHERE provider = ?", [pace.service]).fetchone()
    if row[0] is not None and row[0] > now:
        return TooFast(row[1], row[0] - now)
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


def hold_back(database: sqlite3.Connection, pace: SharedPace, why: Why, seconds: float, now: float) -> None:
    """Let nobody ask a provider for so many seconds.

    What a service has told holds until its end. With 0 seconds, a provider is no longer loading.
    """
    database.execute("DELETE FROM held_back WHERE until <= ?", [now])
    database.execute(
        "INSERT INTO held_back VALUES(?1, ?2, ?3) ON CONFLICT(provider, why) "
        "DO UPDATE SET until = CASE WHEN ?2 = 'loading' THEN ?3 ELSE max(until, ?3) END",
        [pace.service, why, now + min(seconds, LONGEST_S)],
    )
