"""A budget that several processes share: all workers of a run, and all runs of a day on this machine.

It is an SQLite file with a row for each purse and for each open reservation. A request reserves its worst case in all
of its purses in one transaction, and is settled exactly once. So whatever the workers do, a purse is never overspent,
as long as no answer costs more than its worst case.

A process shows that it lives by renewing a lease. When a process is killed, its lease ends. Its reservations are then
settled by whoever comes next: a request that may have reached the model is charged its worst case, because the
provider may bill it, and any other is given back.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harness.gateway.purse import Full, HeldSpend, Purse, Spend
from harness.gateway.shared_pace import TABLE, SharedPace, TooFast, Why, enter, hold_back, leave, leave_all, too_fast
from harness.private import private_folder

LEASE_S: Final = 60.0
"""Seconds after which a process that has not renewed its lease counts as dead."""

_PATIENCE_S: Final = 30.0
"""Seconds that a transaction waits for those of other processes."""

_SHARDS_S: Final = 24 * 3600.0
"""How long after a run began its other shards may begin and share its purse."""

KEPT_S: Final = 60 * 24 * 3600.0
"""Seconds after which a purse that nobody uses is forgotten."""

_MOST: Final = 4 * 10**18
"""The most that a purse counts, so that no sum leaves 64 bits."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS purse(
    name TEXT PRIMARY KEY, cost INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,
    requests INTEGER NOT NULL DEFAULT 0, wanted_cost INTEGER NOT NULL DEFAULT 0,
    wanted_tokens INTEGER NOT NULL DEFAULT 0, wanted_requests INTEGER NOT NULL DEFAULT 1,
    used REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS run(
    folder TEXT PRIMARY KEY, purse TEXT NOT NULL, suite TEXT NOT NULL, part INTEGER NOT NULL,
    begun REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holder(name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservation(
    id TEXT NOT NULL, purse TEXT NOT NULL, holder TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
    cost INTEGER NOT NULL, tokens INTEGER NOT NULL, requests INTEGER NOT NULL, PRIMARY KEY(id, purse)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reservation_by_purse ON reservation(purse);
"""


class SharedBudget:
    """The file of purses, as one process uses it. Not safe for threads: use it from one at a time.

    `clock` gives the time in seconds since 1970, the same for all processes. Call `renew` more often than every
    `LEASE_S`. The file is of one machine unless several share its folder. SQLite then keeps no log of what was written
    in memory that processes share: machines would not see each other's, and spoil the file.
    """

    def __init__(self, file: Path, clock: Callable[[], float], *, of_one_machine: bool = True) -> None:
        private_folder(file.parent)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._clock = clock
        self._holder = uuid.uuid4().hex
        self._database = sqlite3.connect(
            file, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        self._database.execute(f"PRAGMA journal_mode={'WAL' if of_one_machine else 'DELETE'}")
        self._database.execute(f"PRAGMA synchronous={'NORMAL' if of_one_machine else 'FULL'}")
        self._database.executescript(_TABLES + TABLE)
        with self._transaction():
            self._renew()
            self._forget()

    def renew(self) -> None:
        """Show that this process lives, and settle the reservations of those that do not."""
        with self._transaction():
            self._renew()

    def reserve(
        self, purses: Sequence[Purse], worst: Spend, pace: SharedPace | None = None
    ) -> HeldSpend | Full | TooFast:
        """Reserve a request's worst case in all purses, or in none, once the provider's pace has room for it.

        Return why there is no room, if there is none.
        """
        with self._transaction():
            self._renew()
            full: Full | None = None
            for purse in purses:
                spent = self._spent(purse.name)
                if limit := purse.exceeded_by(spent + worst):
                    return Full(purse, limit, over=True, spent=spent)
                if limit := purse.exceeded_by(spent + self._reserved(purse.name) + worst):
                    full = Full(purse, limit, over=False, spent=spent)
            if full is None and pace is not None:
                wait = too_fast(self._database, pace, worst.tokens, self._clock())
                if wait is not None:
                    return wait
            return full or self._hold(purses, worst, pace)

    def refuse(self, purse: Purse, wanted: Spend) -> Full | None:
        """Note that a request that may use `wanted` has no room in a purse, unless it has.

        From now on, `full` says that the purse is spent, as long as such a request has no room. Return why it has none.
        """
        with self._transaction():
            spent = self._spent(purse.name)
            limit = purse.exceeded_by(spent + wanted)
            if limit is None:
                return None
            self._database.execute(
                "INSERT INTO purse(name, wanted_cost, wanted_tokens, wanted_requests, used) VALUES(?, ?, ?, ?, ?) "
                "ON CONFLICT(name) DO UPDATE SET wanted_cost = excluded.wanted_cost, "
                "wanted_tokens = excluded.wanted_tokens, wanted_requests = excluded.wanted_requests",
                [purse.name, wanted.nano_usd, wanted.tokens, wanted.requests, self._clock()],
            )
            return Full(purse, limit, over=True, spent=spent)

    def full(self, purses: Sequence[Purse]) -> tuple[Full, Spend] | None:
        """Return the first purse that is spent, and what a request wanted of it. Return `None` if none is spent.

        A purse is spent if it has no room for a request like the latest one that was refused.
        """
        for purse in purses:
            spent, wanted = self._spent(purse.name), self._wanted(purse.name)
            if limit := purse.exceeded_by(spent + wanted):
                return Full(purse, limit, over=True, spent=spent), wanted
        return None

    def run_purse(self, folder: Path, suite: str, part: int) -> str:
        """Return the name of the purse of the run in this folder: always the same for the same folder.

        A run that is only a part of a suite shares the purse of a run of the same `suite` that began in the last 24
        hours, if no run of that purse is the same part. `suite` names the suite, its project and the number of parts.
        `part` is the number of the part, and 0 for a whole run, which shares with no other.
        """
        now = self._clock()
        with self._transaction():
            known = self._database.execute("SELECT purse FROM run WHERE folder = ?", [str(folder)]).fetchone()
            if known is None and part:
                known = self._database.execute(
                    "SELECT purse FROM run WHERE suite = ? AND begun > ? GROUP BY purse HAVING sum(part = ?) = 0 "
                    "ORDER BY max(begun) DESC",
                    [suite, now - _SHARDS_S, part],
                ).fetchone()
            purse: str = known[0] if known else f"run/{folder}"
            self._database.execute(
                "INSERT OR IGNORE INTO run VALUES(?, ?, ?, ?, ?)", [str(folder), purse, suite, part, now]
            )
            return purse

    def send(self, held: HeldSpend) -> bool:
        """Note that the request is about to be sent. From now on, the provider may bill it.

        Return whether the reservation is still there. If this process was taken for dead, it is not: reserve again.
        """
        with self._transaction():
            self._renew()
            return self._database.execute("UPDATE reservation SET sent = 1 WHERE id = ?", [held.name]).rowcount > 0

    def settle(self, held: HeldSpend, spent: Spend) -> bool:
        """Charge what the request has used, and end its reservation.

        Return whether the reservation was still there. If this process was taken for dead, its request was settled
        already, and nothing is charged twice.
        """
        with self._transaction():
            return self._settle(held.name, spent)

    def hold_back(self, pace: SharedPace, why: Why, seconds: float) -> None:
        """Let no process ask a provider for so many seconds. With 0, they may ask again."""
        with self._transaction():
            hold_back(self._database, pace, why, seconds, self._clock())

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
        leave_all(self._database, holder)
        self._database.execute("DELETE FROM holder WHERE name = ?", [holder])

    def _hold(self, purses: Sequence[Purse], worst: Spend, pace: SharedPace | None) -> HeldSpend:
        name = uuid.uuid4().hex
        self._database.executemany(
            "INSERT INTO reservation(id, purse, holder, cost, tokens, requests) VALUES(?, ?, ?, ?, ?, ?)",
            [(name, purse.name, self._holder, worst.nano_usd, worst.tokens, worst.requests) for purse in purses],
        )
        if pace is not None:
            enter(self._database, pace, name, self._holder, worst.tokens, self._clock())
        return HeldSpend(name)

    def _settle(self, name: str, spent: Spend) -> bool:
        leave(self._database, name, spent.tokens)
        rows = self._database.execute("DELETE FROM reservation WHERE id = ? RETURNING purse", [name]).fetchall()
        self._database.executemany(
            "INSERT INTO purse(name, cost, tokens, requests, used) VALUES(?, ?, ?, ?, ?) "
            f"ON CONFLICT(name) DO UPDATE SET cost = min(cost + excluded.cost, {_MOST}), "
            f"tokens = min(tokens + excluded.tokens, {_MOST}), requests = requests + excluded.requests, "
            "used = excluded.used",
            [(purse, spent.nano_usd, spent.tokens, spent.requests, self._clock()) for (purse,) in rows],
        )
        return bool(rows)

    def _forget(self) -> None:
        """Forget old purses and runs. Those with open requests stay."""
        before = self._clock() - KEPT_S
        self._database.execute("DELETE FROM run WHERE begun < ?", [before])
        self._database.execute(
            "DELETE FROM purse WHERE used < ? "
            "AND name NOT IN (SELECT purse FROM reservation UNION SELECT purse FROM run)",
            [before],
        )

    def _wanted(self, name: str) -> Spend:
        wanted = "SELECT wanted_cost, wanted_tokens, wanted_requests FROM purse WHERE name = ?"
        return _spend(self._database.execute(wanted, [name]).fetchone() or (0, 0, 1))

    def _spent(self, name: str) -> Spend:
        row = self._database.execute("SELECT cost, tokens, requests FROM purse WHERE name = ?", [name]).fetchone()
        return _spend(row or (0, 0, 0))

    def _reserved(self, name: str) -> Spend:
        total = "SELECT coalesce(sum(cost), 0), coalesce(sum(tokens), 0), coalesce(sum(requests), 0) FROM reservation"
        return _spend(self._database.execute(f"{total} WHERE purse = ?", [name]).fetchone())


def _spend(row: Sequence[int]) -> Spend:
    cost, tokens, requests = row
    return Spend(nano_usd=cost, tokens=tokens, requests=requests)
