"""Sessions of a gateway whose cases share budgets, as several workers do."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
from msgspec.structs import replace

from harness.budget_conf import BudgetConf
from harness.case import Case, Price
from harness.gateway.budget import Budget
from harness.gateway.provider import Provider
from harness.gateway.purses import CasePurses, Purses, RunPart
from harness.gateway.server import Gateway
from harness.http_host import HttpHost
from tests.support.cases import REMOTE, make_case
from tests.support.gateway_client import Session

PRICE = Price(input=3, output=15, cache_write=6)


class Workers:
    """Workers that share the budget of one run. Their cases ask a model with a price and a context of 1000 tokens."""

    def __init__(self, host: HttpHost, stack: ExitStack, folder: Path) -> None:
        self._gateway = Gateway(host)
        self._stack = stack
        self._folder = folder
        self._numbers = itertools.count()

    def purses(self, case: Case, *, part: RunPart | None = None) -> CasePurses:
        """Return the budgets that a case shares, as a process of its own uses them."""
        process = Purses(part or RunPart(folder=self._folder / "run", suite="nightly"))
        self._stack.callback(process.close)
        found = process.of(case)
        assert found is not None
        return found

    def session(self, purses: CasePurses | None, provider: Provider) -> Session:
        """Open a session of a case."""
        ledger = self._folder / f"gateway{next(self._numbers)}.jsonl"
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        account = self._gateway.open_account(
            listener,
            model="demo",
            context=1000,
            provider=provider,
            budget=Budget(),
            purses=purses,
            ledger=ledger,
            price=PRICE,
        )
        self._stack.callback(account.close)
        return Session(account, self._stack.enter_context(httpx2.Client(base_url=url, timeout=30)), ledger)


@contextmanager
def workers(folder: Path) -> Iterator[Workers]:
    """Yield workers whose files are in `folder`. Set XDG_CACHE_HOME before."""
    with ExitStack() as stack, HttpHost() as host, stack:
        yield Workers(host, stack, folder)


def case_with(budget: BudgetConf | None = None, daily: BudgetConf | None = None) -> Case:
    """Return a case that shares these budgets."""
    return replace(make_case(provider=replace(REMOTE, daily_budget=daily)), budget=budget)
