"""A gateway in a process of its own, whose memory and files can be measured.

Run as `python -m tests.support.gateway_process FOLDER SERVICE`. It serves two sessions, one that is scripted and one
that forwards to SERVICE, and prints their addresses. It ends when its standard input does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

from harness.gateway.budget import Budget
from harness.gateway.forward import Forwarder
from harness.gateway.provider import Provider
from harness.gateway.script import Script, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.server import Gateway
from harness.http_host import HttpHost

ROOT = Path(__file__).parents[2]


class GatewayProcess:
    """The process; a context manager. `scripted` and `forwarded` are the addresses of its sessions (host and port)."""

    def __init__(self, folder: Path, service: str) -> None:
        self._before = 0.0
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.gateway_process", str(folder), service],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        ports = [int(port) for port in self._process.stdout.readline().split()]
        self.scripted, self.forwarded = (("127.0.0.1", port) for port in ports)

    def begin(self) -> None:
        """Note the memory in use before the attacks."""
        self._before = self._mb("VmRSS")

    def grown_mb(self) -> float:
        """Return how many MB more than at the beginning were in use at the peak."""
        return self._mb("VmHWM") - self._before

    def descriptors(self) -> int:
        """Return the number of open files."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def _mb(self, name: str) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{name}:"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def main() -> None:
    """Serve until standard input ends."""
    folder, service = Path(sys.argv[1]), sys.argv[2]
    providers: dict[str, Provider] = {
        "scripted": ScriptedProvider(Script((ScriptedTurn(text="a"),))),
        "forwarded": Forwarder(service),
    }
    with HttpHost() as host:
        ports = []
        for name, provider in providers.items():
            listener = socket.create_server(("127.0.0.1", 0))
            ports.append(str(listener.getsockname()[1]))
            ledger = folder / f"{name}.jsonl"
            Gateway(host).open_account(listener, model="demo", provider=provider, budget=Budget(), ledger=ledger)
        sys.stdout.write(" ".join(ports) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
