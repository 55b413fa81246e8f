"""Runs a model server of one kind from start to end, for the tests of vLLM and llama.cpp."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.case import ModelConf, ProviderConf
from harness.servers.base import Launch, ServerKind

DEADLINE_S = 60.0


def launch(model: ModelConf, provider: ProviderConf, folder: Path, gpus: Sequence[str] = ()) -> Launch:
    """Return the launch of a server on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Launch(model=model, provider=provider, port=port, folder=folder, gpus=tuple(gpus))


@contextmanager
def served(kind: ServerKind, asked: Launch, ready: Callable[[str], bool] | None = None) -> Iterator[str]:
    """Yield the address of a server once it is healthy, or once it is `ready`."""
    ready = ready or kind.healthy
    asked.folder.mkdir(parents=True, exist_ok=True)
    variables = {"PATH": os.environ["PATH"], "HOME": str(asked.folder), **kind.environment(asked)}
    log = asked.folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(kind.command(asked), env=variables, cwd=asked.folder, stdout=output, stderr=output)
    try:
        end = time.monotonic() + DEADLINE_S
        while not ready(asked.url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
        yield asked.url
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def started(program: Path) -> dict[str, Any]:
    """Return the arguments and the environment of the stand-in that was started last."""
    found: dict[str, Any] = json.loads((program.parent / "started.json").read_text())
    return found


def option(arguments: Sequence[str], name: str) -> str:
    """Return the value of an argument in a command line."""
    return arguments[list(arguments).index(name) + 1]
