"""The gateway. Each worker has one, and each session has an account in it, with its own listening socket."""

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
from harness.gateway.purses import CasePurses
from harness.http_host import HttpHost


class Gateway:
    """Opens accounts, which `host` serves. A request belongs to the account whose socket it arrives on."""

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
        purses: CasePurses | None = None,
        context: int = 65_536,
        workspace: str = "",
        price: Pricing | None = None,
        wire: str | None = None,
        extra_fields: tuple[str, ...] = (),
        toolless: bool = False,
    ) -> Account:
        """Serve `model` on `listener` until the account is closed.

        If the provider is an async context manager, it is entered on the gateway's event loop, and left when the
        account closes. All sessions of a case share its `budget`, and several cases share the `purses`. `ledger` is the
        file that gets one JSON line for each request. `context` (in tokens) is what Ollama's API reports, and what a
        request without an output limit may fill. `workspace` is the workspace's path as the CLI sees it; scripted
        answers need it. Without a `price`, costs are not known. `wire` is the only wire that is served; None means all
        of them. A request may carry what `harness.gateway.allowlist` lists, and the `extra_fields`. A request without
        tools is a side request, unless the session is `toolless`. Raise `HttpHostError` if the account cannot be
        served, and `OSError` if `ledger` cannot be written.
        """
        account = Account(
            model=model,
            context=context,
            workspace=workspace,
            provider=provider,
            budget=budget,
            ledger=ledger,
            purses=purses,
            price=price,
            wire=wire,
            extra_fields=extra_fields,
            toolless=toolless,
        )
        app = Starlette(routes=[Mount("/", app=AccountApp(account))], lifespan=_holding(provider))
        try:
            account.served = self._host.serve(app, listener)
        except BaseException:
            account.close()
            raise
        return account


def _holding(provider: Provider) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an account's app. It enters the provider at the start and leaves it at the end."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if isinstance(provider, AbstractAsyncContextManager):
            async with provider:
                yield
        else:
            yield

    return lifespan
