"""Measures what the gateway adds to a streamed answer, beside LiteLLM's proxy: `python -m tests.benchmarks.gateway`.

The client, the service and the proxies are processes of their own, and take turns.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from msgspec import Struct

from tests.benchmarks import litellm_proxy
from tests.benchmarks.streaming_service import EVENTS
from tests.support.project import ROOT

_ROUNDS = 12
_STREAMS = 5
"""How many streams of each kind a round measures one by one, and how many each of the open connections asks for."""
_OPEN = 8
_BODY = json.dumps(
    {
        "model": "demo",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "go"}],
        "tools": [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}],
    }
).encode()
_REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
    b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (litellm_proxy.KEY.encode(), len(_BODY), _BODY)
)


class Figures(Struct, frozen=True):
    """The medians of one way to the service: milliseconds to the first byte and to the last, and streams a second."""

    first_ms: float
    whole_ms: float
    rate: float


def main() -> None:
    """Print what the gateway and LiteLLM's proxy add, and their ratios to the service itself."""
    print(f"a streamed answer of {EVENTS} events (medians, in turns):")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        service = stack.enter_context(_process("tests.benchmarks.streaming_service"))
        url = f"http://127.0.0.1:{service}"
        ports = {"direct": service, "gateway": stack.enter_context(_process("tests.benchmarks.own_gateway", url))}
        try:
            ports["LiteLLM's proxy"] = stack.enter_context(litellm_proxy.proxy(litellm_proxy.installed(), url, scratch))
        except litellm_proxy.NotToBeHad as why:
            print(f"  LiteLLM's proxy is not to be had: {why}")
        _print(_measured(ports))


def _print(figures: Mapping[str, Figures]) -> None:
    direct = figures["direct"]
    for name, found in figures.items():
        print(f"  {name:15}  first byte {found.first_ms:6.2f} ms  whole {found.whole_ms:6.2f} ms", end="")
        print(f"  {found.rate:4.0f} streams/s with {_OPEN} open ({found.rate / direct.rate:.2f} x)", end="")
        if found is not direct:
            print(
                f"  adds {found.first_ms - direct.first_ms:.2f} and {found.whole_ms - direct.whole_ms:.2f} ms", end=""
            )
        print()


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[int]:
    """Run a module until the end of the block. Yield the port that it prints."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _measured(ports: Mapping[str, int]) -> dict[str, Figures]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(_ROUNDS):
        for name, port in ports.items():
            with _connected(port) as ask:
                ask()
                times[name] += [ask() for _ in range(_STREAMS)]
            rates[name].append(_rate(port))
    return {
        name: Figures(
            median(first for first, _ in times[name]) * 1000,
            median(whole for _, whole in times[name]) * 1000,
            median(rates[name]),
        )
        for name in ports
    }


def _rate(port: int) -> float:
    """Return the streams a second of several connections side by side."""
    with ExitStack() as stack, ThreadPoolExecutor(_OPEN) as pool:
        connections = [stack.enter_context(_connected(port)) for _ in range(_OPEN)]
        start = time.perf_counter()
        list(pool.map(_several, connections))
        return _OPEN * _STREAMS / (time.perf_counter() - start)


def _several(ask: Callable[[], tuple[float, float]]) -> None:
    for _ in range(_STREAMS):
        ask()


@contextmanager
def _connected(port: int) -> Iterator[Callable[[], tuple[float, float]]]:
    """Yield a function that asks for an answer and returns the seconds to its first byte and to its last."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask() -> tuple[float, float]:
            start, first, came = time.perf_counter(), 0.0, b""
            connection.sendall(_REQUEST)
            while not came.endswith(b"0\r\n\r\n"):
                data = connection.recv(1 << 16)
                if not data:
                    raise ConnectionError(f"the answer broke off after {came[-200:]!r}")
                came += data
                first = first or (time.perf_counter() if b"data:" in came else 0.0)
            end = time.perf_counter()
            if came.count(b"data:") != EVENTS:
                raise ValueError(f"the answer has {came.count(b'data:')} events, not {EVENTS}: {came[:500]!r}")
            return first - start, end - start

        yield ask


if __name__ == "__main__":
    main()
