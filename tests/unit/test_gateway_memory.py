"""What a program in the sandbox, or a model service, may make the harness hold in memory and write to its disk."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.gateway.ledger import MAX_BYTES, MAX_TEXT
from harness.gateway.script import Script, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.http_host import MAX_CONNECTIONS, MAX_PIPELINED
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, address, conversation, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.stand_in_upstream import Upstream

pytestmark = pytest.mark.nightly  # each attack needs a gateway in a process of its own

PATHS = pytest.mark.parametrize("path", [MESSAGES, CHAT, RESPONSES, GOOGLE])
MB = 1_000_000
ALLOWED_MB = 250.0
"""How much more memory than before the attacks may take at their peak."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(None, ScriptedProvider(Script((ScriptedTurn(text="a"),)))) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), upstream.url) as gateway:
        for place in (gateway.scripted, gateway.forwarded):
            ask(place, MESSAGES)
        gateway.begin()
        yield gateway


@pytest.fixture(params=["scripted", "forwarded"])
def place(request: pytest.FixtureRequest, gateway: GatewayProcess) -> tuple[str, int]:
    """The address of one kind of session."""
    return gateway.scripted if request.param == "scripted" else gateway.forwarded


@pytest.fixture
def grown(gateway: GatewayProcess) -> Any:
    """Return a function that tells how many MB more than before all attacks the gateway has held at its peak."""
    return gateway.grown_mb


def post(place: tuple[str, int], where: str, body: bytes, **headers: str) -> httpx2.Response:
    with httpx2.Client(timeout=60) as client:
        return client.post(f"http://{place[0]}:{place[1]}{where}", content=body, headers=headers)


def ask(place: tuple[str, int], path: str, *, stream: bool = False) -> httpx2.Response:
    return post(place, address(path, stream=stream), json.dumps(conversation(path, 0, stream=stream)).encode())


def begun(place: tuple[str, int], where: str, length: int, sent: bytes) -> socket.socket:
    """Begin a request of `length` bytes, and send some of them."""
    client = socket.create_connection(place)
    client.settimeout(20)
    head = f"POST {where} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    with suppress(OSError):  # the gateway may have closed it already
        client.sendall(head.encode() + sent)
    return client


# Requests


def test_many_large_bodies_that_never_end_are_not_all_held(
    gateway: GatewayProcess, place: tuple[str, int], grown: Any
) -> None:
    piece = b'{"user": "' + b"x" * (12 * MB)
    paths = [MESSAGES, CHAT, RESPONSES, GOOGLE] * 6
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(begun, place, address(path, stream=False), 60 * MB, piece) for path in paths]
        for one in asked:
            stack.enter_context(one.result(30))
        assert grown() < ALLOWED_MB
    assert ask(place, MESSAGES).status_code == 200


@PATHS
@pytest.mark.parametrize("stuff", [b"[],", b"{},", b'{"a":0},', b'"",', b"0,"], ids=repr)
def test_a_body_of_many_small_values_is_refused_before_it_is_parsed(
    gateway: GatewayProcess, path: str, stuff: bytes, grown: Any
) -> None:
    body = b'{"messages": [' + stuff * (20 * MB // len(stuff)) + b"0]}"
    answer = post(gateway.scripted, address(path, stream=False), body)
    assert answer.status_code == 413
    assert "more than 300000 values" in answer.json()["error"]["message"]
    assert grown() < ALLOWED_MB
    assert ask(gateway.scripted, path).status_code == 200


@pytest.mark.parametrize("where", ["/api/show", "/v1/unknown", f"{MESSAGES}/count_tokens"])
def test_so_it_is_on_every_path(gateway: GatewayProcess, where: str, grown: Any) -> None:
    assert post(gateway.scripted, where, b"[" + b"[]," * MB + b"0]").status_code == 413
    assert grown() < ALLOWED_MB


@PATHS
@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}"])
def test_a_deeply_nested_body_is_refused(gateway: GatewayProcess, path: str, body: bytes) -> None:
    answer = post(gateway.scripted, address(path, stream=False), body)
    assert (answer.status_code, "levels deep" in answer.text) == (413, True)


@PATHS
def test_a_large_text_with_a_wide_character_is_refused(gateway: GatewayProcess, path: str, grown: Any) -> None:
    """Each of its characters would take four bytes."""
    body = json.dumps({"user": "x" * (30 * MB) + "😀"}, ensure_ascii=False).encode()
    assert post(gateway.scripted, address(path, stream=False), body).status_code == 413
    assert grown() < ALLOWED_MB


@PATHS
def test_a_large_conversation_is_served(gateway: GatewayProcess, path: str, place: tuple[str, int]) -> None:
    """A long session with pictures, and code that is full of quotes and commas."""
    code = json.dumps([{"a": [1, 2, "\\"]}] * 20_000)
    body = json.dumps(conversation(path, 100, stream=False)).replace('"go"', json.dumps(code + "A" * (8 * MB)), 1)
    assert post(place, address(path, stream=False), body.encode()).status_code == 200


@PATHS
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip"])
def test_a_compressed_request_is_refused(place: tuple[str, int], path: str, encoding: str) -> None:
    body = gzip.compress(json.dumps(conversation(path, 0, stream=False)).encode())
    answer = post(place, address(path, stream=False), body, **{"content-encoding": encoding})
    assert answer.status_code == 415
    assert encoding in answer.json()["error"]["message"]


# Connections


def test_more_connections_than_allowed_push_out_the_silent_ones(
    gateway: GatewayProcess, place: tuple[str, int], grown: Any
) -> None:
    before = gateway.descriptors()
    with ExitStack() as stack:
        for _ in range(600):
            client = stack.enter_context(socket.create_connection(place))
            client.sendall(b"POST /v1/messages HTTP/1.1\r\n")
        assert ask(place, MESSAGES).status_code == 200, "a CLI is served meanwhile"
        eventually(lambda: gateway.descriptors() <= before + MAX_CONNECTIONS + 5)
        assert grown() < ALLOWED_MB
    eventually(lambda: gateway.descriptors() <= before + 5)


def test_a_client_cannot_queue_any_number_of_requests_on_a_connection(gateway: GatewayProcess, grown: Any) -> None:
    body = json.dumps(conversation(MESSAGES, 0, stream=False)).encode()
    one = f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(socket.create_connection(gateway.scripted))
            with suppress(OSError):
                client.sendall(one + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 8000)
        assert grown() < ALLOWED_MB
    with socket.create_connection(gateway.scripted) as client:
        client.sendall(one * MAX_PIPELINED)
        said = b""
        while said.count(b"HTTP/1.1 200") < MAX_PIPELINED:
            said += client.recv(1 << 16)


# The ledger


def test_long_paths_and_names_are_cut_in_the_ledger(gateway: GatewayProcess) -> None:
    ledger = gateway.folder / "scripted.jsonl"
    before = ledger.stat().st_size
    long = "x" * 60_000
    post(gateway.scripted, f"/{long}", b"")
    post(gateway.scripted, f"{MESSAGES}?{long}", b"{}")
    named = json.dumps(conversation(MESSAGES, 0, stream=False, model=long)).encode()
    refused = post(gateway.scripted, MESSAGES, named)
    tools = [{"type": f"web_{long}", "name": "a"}]
    post(gateway.scripted, MESSAGES, json.dumps(conversation(MESSAGES, 0, stream=False) | {"tools": tools}).encode())
    post(gateway.scripted, MESSAGES, f'{{"{long}": 1, "{long}": 2}}'.encode())
    assert ledger.stat().st_size - before < 5 * 4 * MAX_TEXT
    assert len(refused.content) < 5_000


def test_requests_without_end_do_not_fill_the_disk(gateway: GatewayProcess) -> None:
    ledger = gateway.folder / "forwarded.jsonl"
    one = b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(gateway.forwarded) as client, client.makefile("rb") as answers:
        for _ in range(MAX_BYTES // (MAX_TEXT * 2)):
            client.sendall(one)
            answers.readline()
            while answers.readline() not in (b"", b"\r\n"):
                pass
            answers.read(0)
    assert ledger.stat().st_size <= MAX_BYTES + 100_000, "lines of requests that reached the model come on top"


# Answers


@pytest.mark.parametrize(
    ("path", "stream", "encoding", "status"),
    [
        (MESSAGES, True, "gzip", 200),
        *((path, False, "gzip", 200) for path in (MESSAGES, CHAT, RESPONSES, GOOGLE)),
        (MESSAGES, False, "deflate", 200),
        (CHAT, False, "gzip", 500),
        (f"{MESSAGES}/count_tokens", False, "gzip", 200),
    ],
)
def test_a_compressed_answer_of_300_mb_is_not_held(
    gateway: GatewayProcess, upstream: Upstream, path: str, stream: bool, encoding: str, status: int, grown: Any
) -> None:
    headers = {"content-type": "text/event-stream" if stream else "application/json", "content-encoding": encoding}
    with upstream.behaving(body=BOMBS[encoding], headers=headers, status=status), suppress(httpx2.HTTPError):
        assert ask(gateway.forwarded, path, stream=stream).status_code in {500, 502}
    assert grown() < ALLOWED_MB


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_an_answer_in_an_unknown_encoding_is_refused(
    gateway: GatewayProcess, upstream: Upstream, encoding: str, tmp_path: Path
) -> None:
    with upstream.behaving(body=BOMBS["gzip"], headers={"content-encoding": encoding}):
        for path in (MESSAGES, f"{MESSAGES}/count_tokens"):
            answer = post(gateway.forwarded, path, json.dumps(conversation(MESSAGES, 0, stream=False)).encode())
            assert answer.status_code == 502
            assert f"encoding {encoding}" in answer.json()["error"]["message"]


def _bomb(squeeze: Any) -> bytes:
    piece = b"x" * MB
    return b"".join(squeeze.compress(piece) for _ in range(300)) + bytes(squeeze.flush())


BOMBS = {"gzip": _bomb(zlib.compressobj(9, wbits=31)), "deflate": _bomb(zlib.compressobj(9))}
