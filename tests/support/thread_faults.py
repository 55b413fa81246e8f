"""A pytest plugin that stops what serves a session inside a worker: its MCP server, its gateway, or their thread.

Load it with `-p tests.support.thread_faults`. The variable STRIKES names a folder. A file there with the name of a
target orders the strike. The worker that has the target renames the file to `TARGET.done`, and strikes.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness import http_host
from harness.http_host import HttpHost, Served

STRIKES = "PROCTOR_TEST_STRIKES"
MCP, GATEWAY, THREAD = "mcp", "gateway", "thread"
_PAUSE_S = 0.01


def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch the folder, in a worker."""
    if hasattr(config, "workerinput"):
        _Striker(Path(os.environ[STRIKES])).start()


class _Striker:
    """Knows what is being served in this process, and strikes when it is told to."""

    def __init__(self, orders: Path) -> None:
        self._orders = orders
        self._serving: dict[str, tuple[HttpHost, Served]] = {}

    def start(self) -> None:
        serve = http_host.HttpHost.serve

        def noted(host: HttpHost, app: Any, *arguments: Any, **keywords: Any) -> Served:
            served = serve(host, app, *arguments, **keywords)
            target = (
                MCP if any(getattr(route, "path", "") == "/mcp" for route in getattr(app, "routes", ())) else GATEWAY
            )
            self._serving[target] = self._serving[THREAD] = (host, served)
            return served

        http_host.HttpHost.serve = noted  # type: ignore[method-assign, assignment]  # it is what the test is for
        threading.Thread(target=self._watch, name="striker", daemon=True).start()

    def _watch(self) -> None:
        while True:
            for target, (host, served) in list(self._serving.items()):
                order = self._orders / target
                if not served._closed and order.exists():
                    with suppress(FileNotFoundError):  # another worker was quicker
                        order.rename(order.with_suffix(".done"))
                        host._loop.call_soon_threadsafe(_end if target == THREAD else _drop, served)
            time.sleep(_PAUSE_S)


def _drop(served: Served) -> None:
    """Close the sockets of an app, as the end of its process would."""
    for server in served._server.servers:
        server.close()
    served._listener.close()
    served._original.close()
    for connection in list(served._server.server_state.connections):
        connection.transport.abort()


def _end(_: Served) -> None:
    """End the thread, as an app that exits does."""
    raise SystemExit
