"""A budget that several processes share: all workers of a run, and all runs of a day on this machine.

It is an SQLite file with a row for each purse and for each open reservation. A request reserves its worst case in all
of its purses in one transaction, and is settled exactly once. So whatever the workers do, a purse is never overspent,
as long as no answer costs more than its worst case.

A process shows that it lives by renewing a lease. When a process is killed, its lease ends. Its reservations are then
settled by whoever comes next: a request that may have reached the model is charged its worst case, because the
provider may bill it, and any other is given back.
"""

from __future__ import annotations

import math
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

LEASE_S: Final = 60.0
"""Seconds after which a process that has not renewed its lease counts as dead."""

_PATIENCE_S: Final = 30.0
"""Seconds that a transaction waits for those of other processes."""

_NANO: Final = 1_000_000_000

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS purse(
    name TEXT PRIMARY KEY, cost INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,
    requests INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holder(name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservation(
    id TEXT NOT NULL, purse TEXT NOT NULL, holder TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
    cost INTEGER NOT NULL, tokens INTEGER NOT NULL, requests INTEGER NOT NULL, PRIMARY KEY(id, purse)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reservation_by_purse ON reservation(purse);
"""


class Spend(Struct, frozen=True, kw_only=True):
    """What requests use, or may use. `tokens` counts input and output, without cached input.

    `nano_usd` is in billionths of a US dollar, so that sums are exact.
    """

    nano_usd: int = 0
    tokens: int = 0
    requests: int = 0

    @classmethod
    def of(cls, cost_usd: float, tokens: int, requests: int = 1) -> Spend:
        """Return the spend of requests that cost so much. A cost is rounded up."""
        return cls(nano_usd=math.ceil(cost_usd * _NANO), tokens=tokens, requests=requests)

    def __add__(self, other: Spend) -> Spend:
        return Spend(
            nano_usd=self.nano_usd + other.nano_usd,
            tokens=self.tokens + other.tokens,
            requests=self.requests + other.requests,
        )


class Purse(Struct, frozen=True, kw_only=True):
    """A limit that requests of several processes share. `None` means no limit.

    `name` tells it from others in the file, such as `provider/openai/2026-11-26`.
    """

    name: str
    cost_usd: float | None = None
    tokens: int | None = None
    requests: int | None = None

    def exceeded_by(self, spend: Spend) -> str | None:
        """Return the name of a limit that `spend` is beyond, or `None`."""
        limits = {
            "cost_usd": (spend.nano_usd, None if self.cost_usd is None else math.floor(self.cost_usd * _NANO)),
            "tokens": (spend.tokens, self.tokens),
            "requests": (spend.requests, self.requests),
        }
        return next((name for name, (used, most) in limits.items() if most is not None and used > most), None)


class Held(Struct, frozen=True):
    """A reservation, by its name in the file. No two reservations ever have the same name."""

    name: str


class Full(Struct, frozen=True):
    """A request has no room now. It is `over` if it never will have: then what is spent already leaves too little."""

    purse: Purse
    limit: str
    over: bool


class SharedBudget:
    """The file of purses, as one process uses it. Not safe for threads: use it from one at a time.

    `clock` gives the time in seconds since 1970, the same for all processes. Call `renew` more often than every
    `LEASE_S`.
    """

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._holder = uuid.uuid4().hex
        self._database = sqlite3.connect(
            file, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_TABLES)
        self.renew()

    def renew(self) -> None:
        """Show that this process lives, and settle the reservations of those that do not."""
        with self._transaction():
            self._renew()

    def reserve(self, purses: Sequence[Purse], worst: Spend) -> Held | Full:
        """Reserve a request's worst case in all purses, or in none. Return why there is no room, if there is none."""
        with self._transaction():
            self._renew()
            full: Full | None = None
            for purse in purses:
                spent = self._spent(purse.name)
                if limit := purse.exceeded_by(spent + worst):
                    return Full(purse, limit, over=True)
                if limit := purse.exceeded_by(spent + self._reserved(purse.name) + worst):
                    full = Full(purse, limit, over=False)
            return full or self._hold(purses, worst)

    def send(self, held: Held) -> bool:
        """Note that the request is about to be sent. From now on, the provider may bill it.

        Return whether the reservation is still there. If this process was taken for dead, it is not: reserve again.
        """
        with self._transaction():
            return self._database.execute("UPDATE reservation SET sent = 1 WHERE id = ?", [held.name]).rowcount > 0

    def settle(self, held: Held, spent: Spend) -> bool:
        """Charge what the request has used, and end its reservation.

        Return whether the reservation was still there. If this process was taken for dead, its request was settled
        already, and nothing is charged twice.
        """
        with self._transaction():
            return self._settle(held.name, spent)

    def spent(self, purse: Purse) -> Spend:
        """Return what the settled requests of a purse have used."""
        return self._spent(purse.name)

    def reserved(self, purse: Purse) -> Spend:
        """Return what the open requests of a purse may use."""
        return self._reserved(purse.name)

    def close(self) -> None:
        """End the lease of this process, settle what it has reserved, and close the file."""
        with self._transaction():
            self._bury(self._holder)
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _renew(self) -> None:
        now = self._clock()
        self._database.execute(
            "INSERT INTO holder VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET until = excluded.until",
            [self._holder, now + LEASE_S],
        )
        dead = self._database.execute("SELECT name FROM holder WHERE until < ?", [now]).fetchall()
        for (holder,) in dead:
            self._bury(holder)

    def _bury(self, holder: str) -> None:
        rows = "SELECT DISTINCT id, sent, cost, tokens, requests FROM reservation WHERE holder = ?"
        for name, sent, *worst in self._database.execute(rows, [holder]).fetchall():
            self._settle(name, _spend(worst) if sent else Spend())
        self._database.execute("DELETE FROM holder WHERE name = ?", [holder])

    def _hold(self, purses: Sequence[Purse], worst: Spend) -> Held:
        name = uuid.uuid4().hex
        self._database.executemany(
            "INSERT INTO reservation(id, purse, holder, cost, tokens, requests) VALUES(?, ?, ?, ?, ?, ?)",
            [(name, purse.name, self._holder, worst.nano_usd, worst.tokens, worst.requests) for purse in purses],
        )
        return Held(name)

    def _settle(self, name: str, spent: Spend) -> bool:
        rows = self._database.execute("DELETE FROM reservation WHERE id = ? RETURNING purse", [name]).fetchall()
        self._database.executemany(
            "INSERT INTO purse VALUES(?, ?, ?, ?) ON CONFLICT(name) DO UPDATE SET cost = cost + excluded.cost, "
            "tokens = tokens + excluded.tokens, requests = requests + excluded.requests",
            [(purse, spent.nano_usd, spent.tokens, spent.requests) for (purse,) in rows],
        )
        return bool(rows)

    def _spent(self, name: str) -> Spend:
        row = self._database.execute("SELECT cost, tokens, requests FROM purse WHERE name = ?", [name]).fetchone()
        return _spend(row or (0, 0, 0))

    def _reserved(self, name: str) -> Spend:
        total = "SELECT coalesce(sum(cost), 0), coalesce(sum(tokens), 0), coalesce(sum(requests), 0) FROM reservation"
        return _spend(self._database.execute(f"{total} WHERE purse = ?", [name]).fetchone())


def _spend(row: Sequence[int]) -> Spend:
    cost, tokens, requests = row
    return Spend(nano_usd=cost, tokens=tokens, requests=requests)
