"""Sessions whose model speaks another wire than their client, and a watch over connections."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import pytest

from harness.gateway.allowlist import allow_list
from harness.gateway.messages import AnswerOutcome
from harness.gateway.provider import Answer, Call, Provider
from harness.gateway.routes import wire_of
from harness.gateway.script import load_script
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.translation.translator import Translator
from harness.gateway.wires.reader import Reader
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, Session, address
from tests.support.scripted_gateway import Opener, scripted_gateway

PATHS: Final = {
    "openai_chat": CHAT,
    "anthropic_messages": MESSAGES,
    "openai_responses": RESPONSES,
    "google_generate": GOOGLE,
}
PAIRS: Final = [pytest.param(*pair, id="-on-".join(pair)) for pair in permutations(PATHS, 2)]
"""Every ordered pair of wires: that of the client, and that of the provider."""

_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}
_elsewhere: list[Any] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in _LOOPBACK:
        _elsewhere.append(arguments[1])
    elif event == "socket.getaddrinfo" and arguments[0] not in {*_LOOPBACK, None}:
        _elsewhere.append(arguments[0])


sys.addaudithook(_note)


@pytest.fixture(autouse=True)
def nothing_is_sent_elsewhere() -> Iterator[None]:
    """Check that litellm connects to nobody, and asks for no address."""
    _elsewhere.clear()
    yield
    assert _elsewhere == []


class Canned:
    """A provider that answers with these bytes, each piece by itself."""

    def __init__(self, *pieces: str, fault: Exception | None = None) -> None:
        self.pieces = pieces
        self.fault = fault

    async def answer(self, call: Call) -> Answer:
        return Answer(status=200, headers={"content-type": "text/event-stream"}, chunks=self._chunks())

    async def count_tokens(self, call: Call) -> int:
        raise NotImplementedError

    async def _chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece.encode()
        if self.fault:
            raise self.fault


class Upstream:
    """A provider that keeps the requests that reach it, and lets `model` answer them."""

    def __init__(self, model: Provider) -> None:
        self.calls: list[Call] = []
        self._model = model

    async def answer(self, call: Call) -> Answer:
        self.calls.append(call)
        return await self._model.answer(call)

    async def count_tokens(self, call: Call) -> int:
        return await self._model.count_tokens(call)


class Pair:
    """A session: its client speaks `wire`, and its model `spoken` alone. `lost` names what requests lost."""

    def __init__(self, wire: str, spoken: str, upstream: Upstream, lost: set[str], session: Session) -> None:
        self.wire = wire
        self.spoken = spoken
        self.lost = lost
        self.session = session
        self._upstream = upstream

    @property
    def sent(self) -> dict[str, Any]:
        """The body of the last request that reached the provider."""
        found: dict[str, Any] = json.loads(self._upstream.calls[-1].body)
        return found

    @property
    def asked(self) -> int:
        """How many requests reached the provider."""
        return len(self._upstream.calls)

    def post(self, body: dict[str, Any], *, stream: bool = True) -> Any:
        """Send a request with this body, and return the response."""
        return self.session.client.post(address(PATHS[self.wire], stream=stream), json=body)

    def outcome(self, response: Any, *, stream: bool = True) -> AnswerOutcome:
        """Return what a client of the wire reads in a response."""
        reader = Reader(wire_of(self.wire), streamed=stream)
        reader.feed(response.content)
        reader.finish()
        return reader.outcome


Opened = Callable[..., Pair]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Return a function that opens a session. Its model plays a script, or is the `model` that is given."""
    with scripted_gateway(tmp_path) as opener:

        def open_pair(wire: str, spoken: str, script: str = "[{text: a}]", model: Provider | None = None) -> Pair:
            return _pair(opener, tmp_path, wire, spoken, script, model)

        yield open_pair


def _pair(opener: Opener, folder: Path, wire: str, spoken: str, script: str, model: Provider | None) -> Pair:
    path = folder / "translated.yaml"
    path.write_text(f"turns: {script}", "utf-8")
    upstream, lost = Upstream(model or ScriptedProvider(load_script(path))), set[str]()
    translator = Translator(upstream, wire_of(spoken), allow_list(spoken), lost.update)
    return Pair(wire, spoken, upstream, lost, opener(provider=translator))
