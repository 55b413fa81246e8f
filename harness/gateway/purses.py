"""The budgets that cases share, as the gateway of one process uses them.

All work with the file happens on one thread. So neither the gateway's event loop nor a test waits for the file's locks
while it holds something that others need. A second thread renews the lease of this process.
"""

from __future__ import annotations

import asyncio
import math
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

from harness.budget_conf import BudgetConf, PaceConf
from harness.cache import NoHomeError, user_cache
from harness.case import Case
from harness.endings import ConfError, Ending
from harness.gateway.budget import RequestRefused
from harness.gateway.provider import HeldBack
from harness.gateway.purse import Full, HeldSpend, Purse, Spend
from harness.gateway.shared_budget import LEASE_S, SharedBudget
from harness.gateway.shared_pace import SharedPace, TooFast, Why

POLL_S: Final = 0.25
"""Seconds after which a request that waits for room looks again, because another process may have made some."""

HELD_S: Final = 30.0
"""How many seconds a request waits for a service that told when it wants to be asked again. If it is longer, the CLI
gets the same answer as the request that was told."""

OVERSIZED: Final = "oversized_request"
"""What refuses a request that is larger than the model's context, and has no room. No session ends by it."""

T = TypeVar("T")
Shared = TypeVar("Shared", BudgetConf, PaceConf)


class RunPart(Struct, frozen=True, kw_only=True):
    """What tells which runs share the budget of a suite.

    `folder` is the run's folder. `suite` names the suite, its project and the number of shards. `part` is the number of
    the shard, and 0 for a run without shards.
    """

    folder: Path
    suite: str
    part: int = 0


class BudgetPlace(Struct, frozen=True, kw_only=True):
    """Where the shared budgets are kept. `None` means the user's cache.

    The parts of a launched run keep them elsewhere. Several machines may then use the same `file`. Or each part has a
    file of its own, and one of `shares` equal shares of each budget.
    """

    file: Path | None = None
    shares: int = 1

    @property
    def found(self) -> Path:
        """The file. Raise `NoHomeError` for a user without a home."""
        return self.file or budget_file()


class Wanted(Struct, frozen=True, kw_only=True):
    """What a request may use: at the `worst`, and `usual` at the most for a request that fits the model's context.

    `fits` says whether this request does.
    """

    worst: Spend
    usual: Spend
    fits: bool


class Purses:
    """The shared budgets of one process. The file is opened when the first case needs it. Close it at the end.

    `clock` returns seconds since 1970. `place` says where they are kept. Any thread may call the methods.
    """

    def __init__(self, run: RunPart, clock: Callable[[], float] = time.time, place: BudgetPlace | None = None) -> None:
        self._run = run
        self.place = place or BudgetPlace()
        self._clock = clock
        self._budget: SharedBudget | None = None
        self._run_purse = ""
        self._thread: ThreadPoolExecutor | None = None
        self._closing = threading.Event()

    def of(self, case: Case) -> CasePurses | None:
        """Return the budgets and the pace that a case shares with others, or `None` if there are none.

        All cases of a service share when it wants to be asked again, if that can be kept on this machine. Raise
        `ConfError` if budgets cannot.
        """
        provider = case.provider
        limited = case.budget is not None or provider.daily_budget is not None or provider.pace is not None
        if not limited and provider.scripted:
            return None
        try:
            self._open()
        except (NoHomeError, OSError, sqlite3.Error) as error:
            if not limited:
                return None
            raise _unkept(error, self.place) from error
        conf = self._share(case, provider.pace, "pace") or PaceConf()
        pace = SharedPace(provider.name, conf, f"{provider.name} {provider.base_url}")
        budget, daily = (
            self._share(case, case.budget, "budget"),
            self._share(case, provider.daily_budget, "daily_budget"),
        )
        return CasePurses(self, budget, provider.name, daily, pace)

    def _share(self, case: Case, conf: Shared | None, name: str) -> Shared | None:
        """Return this process's share of a budget. Raise `ConfError` if there is nothing for a share."""
        if conf is None or self.place.shares == 1:
            return conf
        share = conf.share(self.place.shares)
        if share is None:
            raise ConfError(f"{case.id}: the {name} is too small for {self.place.shares} parts with a share each")
        return share

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
        file, alone = self.place.found, self.place.file is None
        thread = ThreadPoolExecutor(1, "proctor-budget")
        try:
            self._budget = thread.submit(lambda: SharedBudget(file, self._clock, of_one_machine=alone)).result()
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

    Reserve and settle on the gateway's event loop. `latest` says what is used and left, as of the latest answer, which
    ended at the time `latest_at` (`time.monotonic`, the same for all processes).
    """

    def __init__(
        self,
        purses: Purses,
        suite: BudgetConf | None,
        provider: str,
        daily: BudgetConf | None,
        pace: SharedPace,
    ) -> None:
        self._purses = purses
        self._pace = pace
        self._conf = suite, provider, daily
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self._limited = suite is not None or daily is not None or pace.limits != PaceConf()
        self.latest = ""
        self.latest_at = 0.0

    def spent(self) -> str | None:
        """Return why no further case may begin, or `None` if one may. Raise `ConfError` if the file cannot be read."""
        found = self._waited(self._look) if self._limited else None
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
            raise ConfError(
                f"cannot read the budget that cases share in {self._purses.place.found}: {error}"
            ) from error

    def _look(self, budget: SharedBudget) -> tuple[Full, Spend] | None:
        self.latest = "; ".join(one.told(budget.spent(one)) for one in self._today())
        self.latest_at = time.monotonic()
        return budget.full(self._today())

    async def reserve(self, wanted: Wanted, waits: Callable[[], None]) -> SharedReservation:
        """Reserve what a request may use at the worst, and note that it is about to be sent.

        Wait while the open requests of all processes leave too little room. Meanwhile, `waits` is called again and
        again. Raise `RequestRefused` if there will never be room, and `HeldBack` if the service wants to be asked again
        in more than `HELD_S` seconds.
        """
        async with self._turn:
            while True:
                self._moved.clear()
                try:
                    answer = await self._asked(wanted)
                except sqlite3.Error:
                    if self._limited:
                        raise
                    answer = HeldSpend("")  # there is nothing to hold, and so nothing to settle
                if isinstance(answer, HeldSpend):
                    return SharedReservation(answer, wanted.worst, self)
                if isinstance(answer, Full) and answer.over:
                    raise _refused(answer, wanted)
                if isinstance(answer, TooFast) and answer.seconds > HELD_S:
                    raise HeldBack(
                        f"rate limit: the service of provider {self._conf[1]} wants to be asked again in "
                        f"{math.ceil(answer.seconds)} s, as it told another request",
                        answer.seconds,
                    )
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

    def hold_back(self, why: Why, seconds: float) -> None:
        """Let no case of any process ask the provider for so many seconds. With 0, they may ask again."""
        with suppress(RuntimeError):  # the file is closed: this process has ended its cases
            self._purses.submit(lambda budget: budget.hold_back(self._pace, why, seconds))

    def settle(self, held: HeldSpend, spent: Spend) -> None:
        """Charge what a request has used. It looks again whether others have room."""
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

    def __init__(self, held: HeldSpend, worst: Spend, purses: CasePurses) -> None:
        self._held = held
        self._purses = purses
        self.worst = worst

    def settle(self, spent: Spend) -> None:
        """Charge what the request has used. This happens soon, and surely before any later work with the file."""
        self._purses.settle(self._held, spent)

    def hold_back(self, seconds: float) -> None:
        """Let no case of any process ask the provider for so many seconds, because it told so."""
        self._purses.hold_back("retry_after", seconds)


def budget_file() -> Path:
    """Return the file of the budgets that runs of this user share. Raise `NoHomeError` for a user without a home."""
    return user_cache() / "budget.sqlite"


def _unkept(error: Exception, place: BudgetPlace) -> ConfError:
    if isinstance(error, NoHomeError):
        return ConfError(f"the budget that cases share is kept in the user's cache, and {error}")
    return ConfError(f"cannot keep the budget that cases share in {place.found}: {error}")


def _ask(budget: SharedBudget, purses: list[Purse], wanted: Wanted, pace: SharedPace) -> HeldSpend | Full | TooFast:
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
