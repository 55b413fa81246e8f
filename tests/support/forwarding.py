"""Helpers for tests of the forwarder: a gateway that forwards to a stand-in over TLS, and a client of the gateway."""

import itertools
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest
from msgspec import Struct

from harness.case import Price
from harness.gateway.budget import Budget
from harness.gateway.credential import Credential
from harness.gateway.forward import Forwarder
from harness.gateway.messages import TokenCounts
from harness.gateway.script import Script, ScriptedCall, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.server import Gateway
from harness.http_host import HttpHost
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, Session
from tests.support.stand_in_upstream import Certificate, Upstream

KEY = "sk-host-0123456789"
DUMMY = {"authorization": "Bearer sealed", "x-api-key": "sealed", "x-goog-api-key": "sealed", "cookie": "a=sealed"}
PATHS = pytest.mark.parametrize("path", [MESSAGES, CHAT, RESPONSES, GOOGLE])
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
USAGE = TokenCounts(input_tokens=700, output_tokens=50, cache_read_tokens=1000)
TURN = ScriptedTurn(text="Grüße aus der Ferne. " * 20, calls=(ScriptedCall(run="ls"),), usage=USAGE)

Opener = Callable[..., Session]


class Bench(Struct, frozen=True):
    """A stand-in service. `open` opens an account that forwards to it (or to another `url`)."""

    upstream: Upstream
    open: Opener


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Yield a bench that keeps its certificate and ledger in `folder`."""
    certificate, numbers = Certificate(folder), itertools.count()
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(certificate, ScriptedProvider(Script((TURN,)))))
        gateway = Gateway(stack.enter_context(HttpHost()))

        def opener(
            url: str = upstream.url,
            *,
            trusted: ssl.SSLContext | None = None,
            key: str | None = KEY,
            key_header: str = "authorization",
            budget: Budget | None = None,
            price: Price | None = None,
            wire: str | None = None,
            extra_fields: tuple[str, ...] = (),
        ) -> Session:
            ledger = folder / f"{next(numbers)}.jsonl"
            listener = socket.create_server(("127.0.0.1", 0))
            here = f"http://127.0.0.1:{listener.getsockname()[1]}"
            account = gateway.open_account(
                listener,
                model="demo",
                provider=Forwarder(url, Credential(key, key_header), trusted=trusted or certificate.trusted()),
                budget=budget or Budget(),
                ledger=ledger,
                price=price,
                wire=wire,
                extra_fields=extra_fields,
            )
            stack.callback(account.close)
            client = stack.enter_context(httpx2.Client(base_url=here, timeout=30, headers=DUMMY))
            return Session(account, client, ledger)

        yield Bench(upstream, opener)


def metered(session: Session) -> tuple[int, int, int, int]:
    """Return the turns, and the tokens of input, of output and of cache reads."""
    totals = session.account.metered()
    return totals.turns, totals.input_tokens, totals.output_tokens, totals.cache_read_tokens
