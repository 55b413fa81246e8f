"""The gateway's own connections to model services: whatever HTTP/1.1 allows passes, byte for byte."""

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gateway.budget import Budget
from harness.gateway.forward import Forwarder
from harness.gateway.provider import Call
from harness.gateway.server import Gateway
from harness.gateway.wires import anthropic_messages
from harness.http_host import HttpHost
from tests.support.gateway_client import MESSAGES, Session, conversation, eventually
from tests.support.raw_service import RawService, Said

EVENTS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7}}}\n\n',
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
BODY = b"".join(EVENTS)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)
END = b"0\r\n\r\n"

REQUEST = conversation(MESSAGES, 0, stream=True)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Opening:
    """Opens sessions whose account forwards to a service."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._gateway = Gateway(stack.enter_context(HttpHost()))
        self._opened = 0

    def __call__(self, url: str) -> Session:
        self._opened += 1
        ledger = self._folder / f"{self._opened}.jsonl"
        listener = socket.create_server(("127.0.0.1", 0))
        here = f"http://127.0.0.1:{listener.getsockname()[1]}"
        account = self._gateway.open_account(
            listener, model="demo", provider=Forwarder(url), budget=Budget(), ledger=ledger
        )
        self._stack.callback(account.close)
        client = self._stack.enter_context(httpx2.Client(base_url=here, timeout=30, trust_env=False))
        return Session(account, client, ledger)


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opening]:
    with ExitStack() as stack:
        yield Opening(tmp_path_factory.mktemp("ledgers"), stack)


WHOLE = {
    "in chunks": Said([CHUNKED + chunk(EVENTS[0]), chunk(EVENTS[1]) + chunk(EVENTS[2]) + END]),
    "of a known size": Said([SIZED + BODY]),
    "up to the connection's end": Said([HEAD + b"\r\n" + BODY], closes=True),
    "of HTTP/1.0": Said([HEAD.replace(b"1.1", b"1.0") + b"\r\n" + BODY], closes=True),
    "after 100 Continue": Said([b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + chunk(BODY) + END]),
    "after early hints": Said([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", SIZED + BODY]),
    "with trailers": Said([CHUNKED + chunk(BODY) + b"0\r\nX-Trailer: 1\r\n\r\n"]),
    "with chunk extensions": Said([CHUNKED + b"%x;a=b\r\n%b\r\n" % (len(BODY), BODY) + END]),
    "with bare line feeds": Said([CHUNKED.replace(b"\r\n", b"\n") + chunk(BODY) + END]),
    "without a reason": Said([CHUNKED.replace(b" OK", b"") + chunk(BODY) + END]),
    "with more than was announced": Said([SIZED + BODY + b"more"]),
    "twice": Said([(SIZED + BODY) * 2]),
}


@pytest.mark.parametrize("said", WHOLE.values(), ids=WHOLE)
def test_every_form_of_an_answer_passes_whole(opener: Opening, said: Said) -> None:
    with RawService(said) as service:
        session = opener(service.url)
        for _ in range(2):  # the second request meets a connection in good order
            answer = session.ask(MESSAGES)
            assert (answer.status_code, answer.content, "x-trailer" in answer.headers) == (200, BODY, False)
        assert session.account.metered().output_tokens == 10


def read(answer: httpx2.Response, got: bytearray) -> None:
    for piece in answer.iter_raw():
        got += piece


BROKEN = {
    "between chunks": (Said([CHUNKED + chunk(BODY)], closes=True), BODY),
    "inside a chunk": (Said([CHUNKED + chunk(EVENTS[0]) + b"ff\r\nabc"], closes=True), EVENTS[0] + b"abc"),
    "before its size": (Said([SIZED + BODY[:-1]], closes=True), BODY[:-1]),
    "in no form": (Said([CHUNKED + chunk(EVENTS[0]) + b"zz\r\n"]), EVENTS[0]),
}


@pytest.mark.parametrize(("said", "comes"), BROKEN.values(), ids=BROKEN)
def test_all_that_came_of_a_broken_answer_reaches_the_cli(opener: Opening, said: Said, comes: bytes) -> None:
    got = bytearray()
    with RawService(said) as service:
        session = opener(service.url)
        with session.client.stream("POST", MESSAGES, json=REQUEST) as answer, pytest.raises(httpx2.RemoteProtocolError):
            read(answer, got)
    assert bytes(got) == comes
    assert "broke off its answer" in session.ledger()[0]["error"]


NONE = {
    "closes the connection": (Said([], closes=True), "closed the connection without an answer"),
    "resets the connection": (Said([], resets=True), "reset"),
    "stops in the headers": (Said([HEAD], closes=True), "closed the connection without an answer"),
    "speaks something else": (Said([b"220 mail.example.org ESMTP\r\n"]), "not valid HTTP/1.1"),
    "switches protocols": (
        Said([b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"]),
        "another protocol",
    ),
    "has endless headers": (Said([HEAD + b"X-A: " + b"a" * 1_000_000]), "headers of the answer are larger"),
}


@pytest.mark.parametrize(("said", "why"), NONE.values(), ids=NONE)
def test_a_service_without_an_answer_is_an_error_that_says_why(opener: Opening, said: Said, why: str) -> None:
    with RawService(said) as service:
        answer = opener(service.url).ask(MESSAGES)
    assert answer.status_code == 502
    assert f"no answer from the model service at {service.url}" in answer.text
    assert why in answer.text


@settings(max_examples=8)
@given(data=st.data())
def test_any_division_into_chunks_and_packets_passes_unchanged(opener: Opening, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(BODY) - 1), max_size=5)))
    chunks = [BODY[a:b] for a, b in zip([0, *cuts], [*cuts, len(BODY)], strict=True)]
    raw = CHUNKED + b"".join(map(chunk, chunks)) + END
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1), max_size=8)))
    with RawService(Said([raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)])) as service:
        session = opener(service.url)
        assert session.ask(MESSAGES).content == BODY
        session.account.close()


def test_what_comes_together_is_passed_on_together() -> None:
    call = Call(
        request=anthropic_messages.parse(json.dumps(REQUEST).encode()),
        wire=anthropic_messages,
        path=MESSAGES,
        headers={},
        body=json.dumps(REQUEST).encode(),
    )

    async def pieces(url: str) -> list[bytes]:
        async with Forwarder(url) as forwarder:
            answer = await forwarder.answer(call)
            return [piece async for piece in answer.chunks]

    with RawService(Said([CHUNKED + b"".join(map(chunk, EVENTS)) + END])) as service:
        assert asyncio.run(pieces(service.url)) == [BODY]


def test_answers_side_by_side_do_not_mix(opener: Opening) -> None:
    answers = [BODY + b"".join(b": %d %d\n\n" % (number, line) for line in range(200)) for number in range(8)]
    says = [Said([CHUNKED, *(chunk(part) for part in answer.split(b"\n\n")), END]) for answer in answers]
    with RawService(*says, says[0]) as service, ThreadPoolExecutor(8) as pool:
        session = opener(service.url)
        came = [answer.content for answer in pool.map(lambda _: session.ask(MESSAGES), range(8))]
    assert sorted(came) == sorted(answer.replace(b"\n\n", b"") for answer in answers)


# Connections


def test_a_connection_that_the_service_has_closed_is_not_used_again(opener: Opening) -> None:
    with RawService(Said([SIZED + BODY], closes=True)) as service:
        session = opener(service.url)
        for _ in range(3):
            assert session.ask(MESSAGES).status_code == 200
            eventually(lambda: service.closed == service.connections)
        assert service.connections == 3


def test_an_answer_that_nobody_read_is_not_taken_for_the_next(opener: Opening) -> None:
    brotli = SIZED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: br\r\n\r\n") + b"?" * len(BODY)
    with RawService(Said([brotli]), Said([SIZED + BODY])) as service:
        session = opener(service.url)
        assert session.ask(MESSAGES).status_code == 502
        assert session.ask(MESSAGES).content == BODY


def test_a_service_waits_for_a_client_that_does_not_read(opener: Opening) -> None:
    """The gateway holds little of an answer: beyond that, only the system's socket buffers fill."""
    piece, count = b": " + b"x" * 1_000_000 + b"\n\n", 100
    with RawService(Said([CHUNKED, *[chunk(piece)] * count, chunk(BODY), END])) as service:
        session = opener(service.url)
        with session.client.stream("POST", MESSAGES, json=REQUEST) as answer:
            received = answer.iter_raw()
            got = len(next(received))
            eventually(lambda: _stands_still(service))
            assert service.sent < count * len(piece) / 2
            got += sum(map(len, received))
        assert got == count * len(piece) + len(BODY)
        assert session.account.metered().turns == 1


def _stands_still(service: RawService) -> bool:
    """Return whether the service sends nothing for a while."""
    before = service.sent
    with suppress(AssertionError):
        eventually(lambda: service.sent > before, 0.3)
    return service.sent == before


def test_a_large_prompt_goes_through(opener: Opening) -> None:
    with RawService(Said([SIZED + BODY])) as service:
        answer = opener(service.url).ask(MESSAGES, system="x" * 30_000_000)
        assert answer.content == BODY
        assert b"content-length: 3000" in service.heads[0].lower()


# Proxies


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[RawService]:
    """A proxy that answers in place of every service, and is the host's proxy."""
    for name in ("ALL_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with RawService(Said([SIZED + BODY])) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        yield proxy


def test_other_machines_are_reached_through_the_hosts_proxy(opener: Opening, proxy: RawService) -> None:
    assert opener("http://model.invalid").ask(MESSAGES).content == BODY
    assert proxy.heads[0].startswith(b"POST http://model.invalid/v1/messages HTTP/1.1\r\n")


def test_a_host_that_needs_no_proxy_is_reached_directly(
    opener: Opening, proxy: RawService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "model.invalid")
    assert opener("http://model.invalid").ask(MESSAGES).status_code == 502
    assert proxy.heads == []


def test_this_machine_is_reached_directly(opener: Opening, proxy: RawService) -> None:
    with RawService(Said([SIZED + BODY])) as service:
        assert opener(service.url).ask(MESSAGES).content == BODY
    assert (len(service.heads), proxy.heads) == (1, [])
