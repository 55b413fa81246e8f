"""Serves the clients of a black box at an endpoint of the agent's box."""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress

from harness.access.visit import MAX_CALLS_PER_S, Hosting, Pace, Visit
from harness.environments import plain
from harness.environments.hosted import HostedEnvironment
from harness.telemetry import WorldUse

MOST_CLIENTS = 4
"""How many environments an agent may have open at a time."""
_JOIN_S = 30.0
_REQUEST_S = 1.0


class ServedWorld:
    """The environment of a black box, offered on a listening socket until `close`.

    Each connection is a client with an environment of its own. If it does not `plays`, a client can call primitives
    only. `fault` says why the environment does not work, whatever
    the agent did, and is `None` as long as it does.
    """

    def __init__(
        self, environment: HostedEnvironment, use: WorldUse, listener: socket.socket, *, plays: bool = True
    ) -> None:
        self._plays = plays
        self.fault: str | None = None
        self._environment, self._use = environment, use
        self._listener = listener.dup()
        self._closed = threading.Event()
        self._pace = Pace(MAX_CALLS_PER_S)
        self._waking, self._wake = os.pipe()
        self._visits: set[threading.Thread] = set()
        self._host = threading.Thread(target=self._accept_all, name="black-box", daemon=True)
        self._host.start()

    def close(self) -> None:
        """Hang up on every client, end their environments, and stop listening. May be called again."""
        if self._closed.is_set():
            return
        self._closed.set()
        os.close(self._wake)
        self._host.join(_JOIN_S)
        for visit in list(self._visits):
            visit.join(_JOIN_S)
        self._listener.close()

    def _accept_all(self) -> None:
        self._listener.setblocking(False)
        while not self._closed.is_set():
            select.select([self._listener.fileno(), self._waking], [], [])
            with suppress(OSError):  # the client has left already
                connection, _ = self._listener.accept()
                self._welcome(connection)
        os.close(self._waking)

    def _welcome(self, connection: socket.socket) -> None:
        """Serve a client on a thread of its own, unless there are too many."""
        self._visits = {visit for visit in self._visits if visit.is_alive()}
        if len(self._visits) >= MOST_CLIENTS:
            self._send_away(connection)
            return
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host = Hosting(self._environment, self._use, self._pace, self._closed, self._fail, self._alone, self._plays)
        visit = Visit(host, connection)
        thread = threading.Thread(target=_serve, args=(visit,), name="black-box-client", daemon=True)
        self._visits = self._visits | {thread}  # other threads may be looking at the old set
        thread.start()

    def _send_away(self, connection: socket.socket) -> None:
        self._use.count("errors")
        told = f"{MOST_CLIENTS} environments are open, and more are not allowed: close one"
        answer = plain.dumps({"error": "WorldError", "text": told})
        select.select([connection.fileno(), self._waking], [], [], _REQUEST_S)
        connection.setblocking(False)
        with suppress(OSError):
            connection.recv(1 << 16)  # a request that is not read would take the answer away from the client
        with suppress(OSError):
            connection.send(len(answer).to_bytes(4, "big") + answer)
        connection.close()

    def _alone(self) -> bool:
        return sum(visit.is_alive() for visit in self._visits) <= 1

    def _fail(self, why: str) -> None:
        self.fault = self.fault or why


def _serve(visit: Visit) -> None:
    try:
        visit.serve()
    finally:
        visit.close()
