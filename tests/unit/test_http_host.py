"""The HTTP host: serves ASGI apps on listening sockets from one thread, and stops at once."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from harness.http_host import HttpHost, HttpHostError


@pytest.fixture
def host() -> Iterator[HttpHost]:
    with HttpHost() as host:
        yield host


def listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def saying(text: str) -> Starlette:
    async def say(request: Request) -> Response:
        return PlainTextResponse(text)

    return Starlette(routes=[Route("/", say)])


def test_it_serves_several_apps_on_their_own_sockets(host: HttpHost) -> None:
    doors = {name: listen() for name in ("one", "two")}
    addresses = {name: url(door) for name, door in doors.items()}
    for name, door in doors.items():
        host.serve(saying(name), door)
    assert {name: httpx2.get(address).text for name, address in addresses.items()} == {"one": "one", "two": "two"}


def test_it_runs_the_lifespan_of_an_app_around_its_requests(host: HttpHost) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        steps.append("up")
        yield
        steps.append("down")

    served = host.serve(Starlette(lifespan=lifespan), listen())
    assert steps == ["up"]
    served.close()
    assert steps == ["up", "down"]


def test_a_failing_startup_is_a_clear_error_and_the_host_continues(host: HttpHost) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        raise RuntimeError("no such maze")
        yield

    with listen() as door, pytest.raises(HttpHostError, match=r"start-up failed.*no such maze"):
        host.serve(Starlette(lifespan=lifespan), door)
    other = listen()
    address = url(other)
    host.serve(saying("alive"), other)
    assert httpx2.get(address).text == "alive"


def test_close_cancels_open_requests_at_once_and_frees_the_port(host: HttpHost) -> None:
    reached, ended = threading.Event(), threading.Event()

    async def hang(request: Request) -> Response:
        try:
            reached.set()
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    door = listen()
    address = url(door)
    served = host.serve(Starlette(routes=[Route("/", hang)]), door)
    failures: list[Exception] = []

    def call() -> None:
        try:
            httpx2.get(address, timeout=30)
        except httpx2.TransportError as error:
            failures.append(error)

    client = threading.Thread(target=call)
    client.start()
    assert reached.wait(10)
    start = time.monotonic()
    served.close()
    served.close()
    assert time.monotonic() - start < 2
    assert ended.is_set()
    client.join(10)
    assert len(failures) == 1
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)


def test_the_socket_may_be_closed_by_its_owner_first(host: HttpHost) -> None:
    door = listen()
    address = url(door)
    served = host.serve(saying("here"), door)
    door.close()
    assert httpx2.get(address).text == "here"
    served.close()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)


def test_it_accepts_a_socket_received_from_elsewhere(host: HttpHost) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs, listen() as door:
        address = url(door)
        socket.send_fds(theirs, [b"door"], [door.fileno()])
        _, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
    host.serve(saying("through"), socket.socket(fileno=descriptors[0]))
    assert httpx2.get(address).text == "through"


def test_closing_the_host_stops_all_apps_and_its_thread() -> None:
    before = threading.active_count()
    with HttpHost() as host:
        door = listen()
        address = url(door)
        host.serve(saying("x"), door)
        httpx2.get(address)
    host.close()
    assert threading.active_count() == before
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)
    with listen() as late, pytest.raises(HttpHostError, match="closed"):
        host.serve(saying("y"), late)


def test_it_writes_nothing_on_standard_error(host: HttpHost, capfd: pytest.CaptureFixture[str]) -> None:
    async def cut(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return
        await Starlette()(scope, receive, send)

    door = listen()
    address = url(door)
    host.serve(cut, door)
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(address)
    assert capfd.readouterr() == ("", "")
