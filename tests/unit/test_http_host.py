"""The HTTP host: serves ASGI apps on listening sockets from one thread, and stops at once."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from harness.http_host import MAX_HEADERS, HttpHost, HttpHostError


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


def unix(folder: Path) -> tuple[socket.socket, str]:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(folder / "door"))
    door.listen()
    return door, str(folder / "door")


def test_it_serves_on_a_unix_socket(host: HttpHost, tmp_path: Path) -> None:
    door, path = unix(tmp_path)
    host.serve(saying("here"), door)
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=path)) as client:
        assert client.get("http://door/").text == "here"


def accepted(client: socket.socket) -> socket.socket:
    """Return the other end of a connection: a socket of this process too, because the host is a thread of it."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if not link.readlink().name.startswith("socket:"):
                continue
            found = socket.socket(fileno=os.dup(int(link.name)))
            with suppress(OSError):
                if found.getpeername() == client.getsockname():
                    return found
            found.close()
    raise AssertionError("nobody has accepted the connection")


@pytest.mark.parametrize("address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("protocol", [0, socket.IPPROTO_TCP], ids=["protocol unsaid", "TCP"])
def test_a_small_answer_never_waits_for_the_last_to_be_acknowledged(
    host: HttpHost, address: tuple[int, str], protocol: int
) -> None:
    family, own = address
    door = socket.socket(family, socket.SOCK_STREAM, protocol)
    door.bind((own, 0))
    door.listen()
    with socket.socket(family) as client:
        client.connect(door.getsockname())  # before the host serves, as in a sandbox
        host.serve(saying("here"), door)
        client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")
        with accepted(client) as served:
            assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("head", [b"GET /%s HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX-A: %s\r\n"], ids=["path", "header"])
def test_endless_headers_are_refused(host: HttpHost, head: bytes) -> None:
    door = listen()
    with socket.create_connection(door.getsockname()) as client:
        host.serve(saying("here"), door)
        client.sendall(head % (b"a" * (MAX_HEADERS + 1 - len(head % b""))))
        said = b"".join(iter(lambda: client.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"headers are larger" in said


def test_a_body_may_be_larger_than_headers(host: HttpHost) -> None:
    async def measure(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    door = listen()
    address = url(door)
    host.serve(Starlette(routes=[Route("/", measure, methods=["POST"])]), door)
    with httpx2.Client() as client:
        for size in (0, MAX_HEADERS * 3, MAX_HEADERS // 2, MAX_HEADERS // 2 + 1, 3):
            assert client.post(address, content=b"x" * size).text == str(size)
            assert client.post(address, content=iter([b"x"] * (size // 1000))).text == str(size // 1000)


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
