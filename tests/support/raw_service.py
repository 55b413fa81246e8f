"""A model service that answers with the exact bytes that a test gives it, in pieces of its choice."""

import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Self

from msgspec import Struct


class Said(Struct, frozen=True):
    """What the service sends to one request, piece by piece.

    Then it keeps the connection, closes it (`closes`), or resets it (`resets`).
    """

    pieces: Sequence[bytes]
    closes: bool = False
    resets: bool = False


class RawService:
    """The service; a context manager. It plays `says` in turn, one for each request, and the last one again and again.

    `url` is its address, without `/v1`. `heads` are the heads of the requests received. `connections` counts the
    clients' connections, `closed` those that the service has closed, and `sent` the bytes that it has sent.
    """

    def __init__(self, *says: Said) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.closed = 0
        self.sent = 0
        self._says = list(says)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="raw-service", daemon=True)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for opened in (self._listener, *self._open):
                stack.callback(opened.close)
                stack.callback(_shut, opened)
        for thread in (self._thread, *self._threads):
            thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            self._threads.append(threading.Thread(target=self._answer_all, args=(client,), daemon=True))
            self._threads[-1].start()

    def _answer_all(self, client: socket.socket) -> None:
        try:
            while self._has_asked(client):
                said = self._says.pop(0) if len(self._says) > 1 else self._says[0]
                for piece in said.pieces:
                    client.sendall(piece)
                    self.sent += len(piece)
                if said.resets:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if said.resets or said.closes:
                    client.close()
                    self.closed += 1
                    return
        except OSError:
            return  # the client went away

    def _has_asked(self, client: socket.socket) -> bool:
        """Read a request. Return whether there was one."""
        came = b""
        while b"\r\n\r\n" not in came:
            if not (data := client.recv(65536)):
                return False
            came += data
        head, _, body = came.partition(b"\r\n\r\n")
        self.heads.append(head)
        lengths = [
            line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        left = int(lengths[0]) - len(body) if lengths else 0
        while left > 0:
            left -= len(client.recv(min(left, 1 << 20)))
        return True


def _shut(opened: socket.socket) -> None:
    """Wake the thread that uses this socket."""
    with suppress(OSError):  # it is closed already
        opened.shutdown(socket.SHUT_RDWR)
