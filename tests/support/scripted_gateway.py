"""A gateway whose model plays a script, with clients that behave like CLIs."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import httpx2
import pytest

from harness.gateway.budget import Budget
from harness.gateway.provider import Provider
from harness.gateway.script import load_script
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.server import Gateway
from harness.http_host import HttpHost
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, Session

PATHS = pytest.mark.parametrize("path", [MESSAGES, CHAT, RESPONSES, GOOGLE])
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


class Opener(Protocol):
    """The function with which tests open a session. Several sessions may share a `budget`; it overrides `turns`."""

    def __call__(
        self,
        script: str = "[{text: a}]",
        *,
        turns: int | None = None,
        budget: Budget | None = None,
        provider: Provider | None = None,
        toolless: bool = False,
    ) -> Session: ...


@contextmanager
def scripted_gateway(folder: Path) -> Iterator[Opener]:
    """Serve a gateway. Yield a function that opens sessions, with scripts and ledgers in `folder`."""
    with HttpHost() as host, ExitStack() as stack:
        numbers = itertools.count()

        def opener(
            script: str = "[{text: a}]",
            *,
            turns: int | None = None,
            budget: Budget | None = None,
            provider: Provider | None = None,
            toolless: bool = False,
        ) -> Session:
            number = next(numbers)
            path = folder / f"script{number}.yaml"
            path.write_text(f"turns: {script}", "utf-8")
            ledger = folder / f"gateway{number}.jsonl"
            listener = socket.create_server(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            account = Gateway(host).open_account(
                listener,
                model="demo",
                provider=provider or ScriptedProvider(load_script(path)),
                workspace="/sandbox/workspace",
                budget=budget or Budget(turns),
                ledger=ledger,
                toolless=toolless,
            )
            stack.callback(account.close)
            return Session(account, stack.enter_context(httpx2.Client(base_url=url, timeout=30)), ledger)

        yield opener
