"""The gateway: one for each worker, with one account for each session behind a listening socket of its own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount

from harness.gateway.account import Account
from harness.gateway.account_app import AccountApp
from harness.gateway.budget import Budget
from harness.gateway.prices import Pricing
from harness.gateway.provider import Provider
from harness.http_host import HttpHost


class Gateway:
    """Opens accounts, which `host` serves. The socket that a request comes by says whose it is."""

    def __init__(self, host: HttpHost) -> None:
        self._host = host

    def open_account(
        self,
        listener: socket.socket,
        *,
        model: str,
        provider: Provider,
        budget: Budget,
        ledger: Path,
        context: int = 65_536,
        workspace: str = "",
        price: Pricing | None = None,
    ) -> Account:
        """Serve `model` on `listener` until the account is closed.

        A provider that is an async context manager is entered on the gateway's event loop, and left at the close.
        `budget` is shared by all sessions of a case. `ledger` is the file that takes one JSON line for each request.
        `context` (in tokens) is what Ollama's API reports, and what a request without an output limit may fill.
        `workspace` is the workspace's path as the CLI sees it, which scripted answers need. Without a `price` costs
        stay unknown. Raises `HttpHostError`, and `OSError` if `ledger` cannot be written.
        """
        account = Account(
            model=model,
            context=context,
            workspace=workspace,
            provider=provider,
            budget=budget,
            ledger=ledger,
            price=price,
        )
        app = Starlette(routes=[Mount("/", app=AccountApp(account))], lifespan=_holding(provider))
        try:
            account.served = self._host.serve(app, listener)
        except BaseException:
            account.close()
            raise
        return account


def _holding(provider: Provider) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an account's app, during which its provider is entered."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if isinstance(provider, AbstractAsyncContextManager):
            async with provider:
                yield
        else:
            yield

    return lifespan
