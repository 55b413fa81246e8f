"""Proctor's gateway in a process of its own: `python -m tests.benchmarks.own_gateway URL`.

It prints its port, and serves until its standard input ends.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

from harness.gateway.budget import Budget
from harness.gateway.forward import Forwarder
from harness.gateway.server import Gateway
from harness.http_host import HttpHost


def _serve(url: str) -> None:
    with HttpHost() as host, tempfile.TemporaryDirectory() as folder:
        listener = socket.create_server(("127.0.0.1", 0))
        ledger = Path(folder) / "gateway.jsonl"
        account = Gateway(host).open_account(
            listener, model="demo", provider=Forwarder(url), budget=Budget(), ledger=ledger
        )
        print(listener.getsockname()[1], flush=True)
        sys.stdin.read()
        account.close()


if __name__ == "__main__":
    _serve(sys.argv[1])
