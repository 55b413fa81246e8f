"""A model service that cannot be reached is named within seconds, with what to check."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.gateway.reach import unreachable, why_unreachable
from tests.support.stand_in_upstream import Certificate


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """Yield an address whose queue of connections is full: the system drops every further one."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield address(listener)


@contextmanager
def tls_service(certificate: Certificate) -> Iterator[str]:
    """Yield the address of a service that speaks TLS with this certificate, for one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain)

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield address(listener)
        thread.join()


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


def test_a_service_that_accepts_connections_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert why_unreachable(f"http://{address(listener)}/path") is None


def test_a_refused_connection_is_tried_again_and_then_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://{address(closed)}"
    assert why_unreachable(url, pauses_s=(0.0, 0.0)) == "Connection refused"


def test_a_service_that_comes_back_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        place = closed.getsockname()
    with contextlib.ExitStack() as stack:
        timer = threading.Timer(0.1, lambda: stack.enter_context(socket.create_server(place)))
        timer.start()
        assert why_unreachable(f"http://127.0.0.1:{place[1]}", pauses_s=(0.5, 1.0, 2.0)) is None
        timer.join()


def test_a_name_that_is_not_known_is_told() -> None:
    assert str(why_unreachable("https://models.invalid", pauses_s=())).startswith("the name is not known: ")


def test_a_black_hole_is_told_in_time() -> None:
    with black_hole() as place:
        began = time.monotonic()
        why = why_unreachable(f"http://{place}", connect_s=0.3, pauses_s=())
        assert time.monotonic() - began < 2
    assert why in {"no connection within 0.3 seconds", "timed out"}


def test_tls_is_tried_with_the_certificates_that_requests_trust(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tls_service(certificate) as place:
        why = why_unreachable(f"https://{place}", pauses_s=())
    assert str(why).startswith("its certificate is not trusted: ")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority_file))
    with tls_service(certificate) as place:
        assert why_unreachable(f"https://{place}", pauses_s=()) is None


def test_a_service_without_tls_at_an_https_address_is_told() -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        why = why_unreachable(f"https://{address(listener)}", pauses_s=())
        thread.join()
    assert str(why).startswith("TLS failed: ")


def test_a_proxy_is_checked_instead_of_the_service_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{address(proxy)}")
        assert why_unreachable("https://models.invalid", pauses_s=()) is None
        said = unreachable("https://models.invalid", "Connection refused")
        assert said.startswith(
            f"the model service at models.invalid:443 cannot be reached through the proxy {address(proxy)}: "
        )
        monkeypatch.setenv("NO_PROXY", "models.invalid")
        assert why_unreachable("https://models.invalid", pauses_s=()) is not None


def test_the_explanation_names_host_and_port_and_what_to_check() -> None:
    said = unreachable("https://llm.example.org/proxy", "Connection refused")
    assert said == (
        "the model service at llm.example.org:443 cannot be reached: Connection refused; check its address "
        "(https://llm.example.org/proxy) and the network of this machine"
    )
