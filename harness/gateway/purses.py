"""The budgets that cases share, as the gateway of one process uses them.

All work with the file happens on one thread. So neither the gateway's event loop nor a test waits for the file's locks
while it holds something that others need. A second thread renews the lease of this process.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from harness.budget_conf import BudgetConf
from harness.cache import NoHomeError, user_cache
from harness.case import Case
from harness.endings import ConfError, Ending
from harness.gateway.budget import RequestRefused
from harness.gateway.purse import Full, HeldSpend, Purse, Spend
from harness.gateway.shared_budget import LEASE_S, SharedBudget
from harness.gateway.shared_pace import SharedPace, TooFast

POLL_S: Final = 0.25
"""Seconds after which a request that waits for room looks again, because another process may have made some."""

OVERSIZED: Final = "oversized_request"
"""What refuses a request that is larger than the model's context, and has no room. No session ends by it."""

T = TypeVar("T")


class RunPart(Struct, frozen=True, kw_only=True):
    """What tells which runs share the budget of a suite.

    `folder` is the run's folder. `suite` names the suite, its project and the number of shards. `part` is the number of
    the shard, and 0 for a run without shards.
    """

    folder: Path
    suite: str
    part: int = 0


class Wanted(Struct, frozen=True, kw_only=True):
    """What a request may use: at the `worst`, and `usual` at the most for a request that fits the model's context.

    `fits` says whether this request does.
    """

    worst: Spend
    usual: Spend
    fits: bool


class Purses:
    """The shared budgets of one process. The file is opened when the first case needs it. Close it at the end.

    `clock` returns seconds since 1970. Any thread may call the methods.
    """

    def __init__(self, run: RunPart, clock: Callable[[], float] = time.time) -> None:
        self._run = run
        self._clock = clock
        self._budget: SharedBudget | None = None
        self._run_purse = ""
        self._thread: ThreadPoolExecutor | None = None
        self._closing = threading.Event()

    def of(self, case: Case) -> CasePurses | None:
        """Return the budgets and the pace that a case shares with others, or `None` if there are none.

        Raise `ConfError` if they cannot be kept on this machine.
        """
        provider = case.provider
        if case.budget is None and provider.daily_budget is None and provider.pace is None:
            return None
        try:
            self._open()
        except NoHomeError as error:
            raise ConfError(f"the budget that cases share is kept in the user's cache, and {error}") from error
        except (OSError, sqlite3.Error) as error:
            raise ConfError(f"cannot keep the budget that cases share in {budget_file()}: {error}") from error
        pace = None if provider.pace is None else SharedPace(provider.name, provider.pace)
        return CasePurses(self, case.budget, provider.name, provider.daily_budget, pace)

    def named(self, suite: BudgetConf | None, provider: str, daily: BudgetConf | None) -> list[Purse]:
        """Return the purses of these budgets today."""
        found = [] if suite is None else [Purse.of(self._run_purse, "suite.budget", suite)]
        if daily is not None:
            day = datetime.fromtimestamp(self._clock(), UTC).date()
            found.append(Purse.of(f"provider/{provider}/{day}", f"provider.{provider}.daily_budget", daily))
        return found

    def submit(self, work: Callable[[SharedBudget], T]) -> Future[T]:
        """Do some work with the file, after all earlier work. Raise `RuntimeError` if it is closed."""
        if self._thread is None or self._budget is None:
            raise RuntimeError("the shared budgets are closed")
        return self._thread.submit(work, self._budget)

    def close(self) -> None:
        """End the lease of this process. What it had sent and not settled is charged at its worst."""
        self._closing.set()
        thread, budget, self._thread = self._thread, self._budget, None
        if thread is not None:
            if budget is not None:
                with suppress(sqlite3.Error):  # the lease ends by itself
                    thread.submit(budget.close).result()
            thread.shutdown()

    def _open(self) -> None:
        if self._thread is not None:
            return
        file = budget_file()
        thread = ThreadPoolExecutor(1, "proctor-budget")
        try:
            self._budget = thread.submit(SharedBudget, file, self._clock).result()
            run = self._run
            self._run_purse = thread.submit(self._budget.run_purse, run.folder, run.suite, run.part).result()
        except BaseException:
            thread.shutdown()
            raise
        self._thread = thread
        threading.Thread(target=self._renew, name="proctor-budget-lease", daemon=True).start()

    def _renew(self) -> None:
        while not self._closing.wait(LEASE_S / 4):
            with suppress(RuntimeError):
                self.submit(SharedBudget.renew)


class CasePurses:
    """The budgets that a case shares with others: that of its suite, and its provider's of this day.

    Reserve and settle on the gateway's event loop. `latest` says what is used and left, as of the latest answer.
    """

    def __init__(
        self,
        purses: Purses,
        suite: BudgetConf | None,
        provider: str,
        daily: BudgetConf | None,
        pace: SharedPace | None = None,
    ) -> None:
        self._purses = purses
        self._pace = pace
        self._conf = suite, provider, daily
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self.latest = ""

    def spent(self) -> str | None:
        """Return why no further case may begin, or `None` if one may. Raise `ConfError` if the file cannot be read."""
        found = self._waited(self._look)
        if found is None:
            return None
        full, wanted = found
        return full.purse.spent(full.limit, full.spent, wanted)

    def told(self) -> list[str]:
        """Return what is used and left of each budget, for people. Raise `ConfError` if the file cannot be read."""
        return self._waited(lambda budget: [one.told(budget.spent(one)) for one in self._today()])

    def _waited(self, work: Callable[[SharedBudget], T]) -> T:
        try:
            return self._purses.submit(work).result()
        except sqlite3.Error as error:
            raise ConfError(f"cannot read the budget that cases share in {budget_file()}: {error}") from error

    def _look(self, budget: SharedBudget) -> tuple[Full, Spend] | None:
        self.latest = "; ".join(one.told(budget.spent(one)) for one in self._today())
        return budget.full(self._today())

    async def reserve(self, wanted: Wanted, waits: Callable[[], None]) -> SharedReservation:
        """Reserve what a request may use at the worst, and note that it is about to be sent.

        Wait while the open requests of all processes leave too little room. Meanwhile, `waits` is called again and
        again. Raise `RequestRefused` if there will never be room.
        """
        async with self._turn:
            while True:
                self._moved.clear()
                answer = await self._asked(wanted)
                if isinstance(answer, HeldSpend):
                    return SharedReservation(answer, wanted.worst, self._settle)
                if isinstance(answer, Full) and answer.over:
                    raise _refused(answer, wanted)
                waits()
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._moved.wait()

    async def _asked(self, wanted: Wanted) -> HeldSpend | Full | TooFast:
        asked = self._purses.submit(lambda budget: _ask(budget, self._today(), wanted, self._pace))
        try:
            return await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise

    def _give_back(self, asked: Future[HeldSpend | Full | TooFast]) -> None:
        """Give back what was reserved for a request that nobody waits for any more."""
        if not asked.cancelled() and asked.exception() is None and isinstance(held := asked.result(), HeldSpend):
            with suppress(RuntimeError):  # when the file was closed, it was settled
                self._purses.submit(lambda budget: budget.settle(held, Spend()))

    def _settle(self, held: HeldSpend, spent: Spend) -> None:
        loop = asyncio.get_running_loop()

        def settle(budget: SharedBudget) -> None:
            budget.settle(held, spent)
            self._look(budget)

        def look_again(_: Future[None]) -> None:
            with suppress(RuntimeError):  # the gateway has ended
                loop.call_soon_threadsafe(self._moved.set)

        with suppress(RuntimeError):  # when the file was closed, it was settled
            self._purses.submit(settle).add_done_callback(look_again)

    def _today(self) -> list[Purse]:
        return self._purses.named(*self._conf)


class SharedReservation:
    """What an open request holds of the budgets that its case shares. Settle it once, on the gateway's event loop."""

    def __init__(self, held: HeldSpend, worst: Spend, settle: Callable[[HeldSpend, Spend], None]) -> None:
        self._held = held
        self._settle = settle
        self.worst = worst

    def settle(self, spent: Spend) -> None:
        """Charge what the request has used. This happens soon, and surely before any later work with the file."""
        self._settle(self._held, spent)


def budget_file() -> Path:
    """Return the file of the budgets that runs of this user share. Raise `NoHomeError` for a user without a home."""
    return user_cache() / "budget.sqlite"


def _ask(
    budget: SharedBudget, purses: list[Purse], wanted: Wanted, pace: SharedPace | None
) -> HeldSpend | Full | TooFast:
    """Reserve for a request. Once there is no room for it, no further case may begin, unless the request is unusual."""
    answer = budget.reserve(purses, wanted.worst, pace)
    if isinstance(answer, HeldSpend):
        budget.send(answer)  # nothing keeps the request from leaving now
        return answer
    if isinstance(answer, TooFast) or not answer.over:
        return answer
    return budget.refuse(answer.purse, wanted.worst if wanted.fits else wanted.usual) or Full(
        answer.purse, OVERSIZED, over=True, spent=answer.spent
    )


def _refused(full: Full, wanted: Wanted) -> RequestRefused:
    if full.limit == OVERSIZED:
        said = "the request is larger than the model's context, and what is left of the budget has no room for it"
        return RequestRefused(OVERSIZED, said)
    used = wanted.worst if wanted.fits else wanted.usual
    return RequestRefused(str(Ending.BUDGET_SPENT), full.purse.spent(full.limit, full.spent, used))
