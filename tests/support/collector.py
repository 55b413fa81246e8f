"""A stand-in for a service that collects OpenTelemetry spans over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct, field


class Received(Struct, frozen=True):
    """A request: its path, its headers by name in small letters, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes


class Collector(Struct):
    """What the service got, and the answers that it still gives first: status, headers and body. Then it takes all."""

    address: str
    requests: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def collector() -> Iterator[Collector]:
    """Run the service on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            one.requests.append(Received(self.path, headers, body))
            status, more, answer = one.answers.pop(0) if one.answers else (200, {}, b"{}")
            self.send_response(status)
            for name, value in ({"content-length": str(len(answer))} | more).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield one
        finally:
            server.shutdown()
            thread.join()
