"""Serves `proctor view` in a test, and asks it over HTTP as a browser does."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec import Struct

from harness.http_host import HttpHost
from harness.viewer.app import make_app
from harness.viewer.source import RunsSource
from tests.support.project import ROOT

BELOW = "the-token"
"""The token of a page that this process serves. Everything is below it."""


class Reply(Struct, frozen=True):
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes


class Viewed(Struct, frozen=True):
    """A served page, by its address."""

    address: str

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """Send one request. `path` is the whole path, as it is written on the wire."""
        port = urlsplit(self.address).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, named, answer.read())
        finally:
            connection.close()

    def data(self, name: str, runs: str = "") -> Any:
        """Return the overview, the state or the details, as the page gets them."""
        reply = self.ask(f"{urlsplit(self.address).path}{name}?runs={quote(runs)}")
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def rows(self, runs: str = "") -> list[dict[str, Any]]:
        """Return the rows of the cases of the chosen runs."""
        columns = self.data("overview", runs)["rows"]
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@contextmanager
def viewed(runs: Path) -> Iterator[Viewed]:
    """Serve the page over a folder of runs from this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener, HttpHost() as host:
        host.serve(make_app(RunsSource(runs), BELOW), listener)
        yield Viewed(f"http://127.0.0.1:{listener.getsockname()[1]}/{BELOW}/")


@contextmanager
def viewed_by_command(runs: Path) -> Iterator[Viewed]:
    """Serve the page with the command itself. Ctrl-C ends it quietly."""
    command = [sys.executable, "-m", "harness", "view", "--runs-dir", str(runs)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
            yield Viewed(address)
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=60)
            assert (process.returncode, complaints) == (0, "")
        finally:
            process.kill()
