"""LiteLLM's proxy, which the gateway is compared with. It is installed when it is first needed, in the user's cache."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

KEY = "sk-benchmark"
_START_S = 120.0


class NotToBeHad(Exception):
    """LiteLLM cannot be installed or started here. The message says why."""


def installed() -> Path:
    """Return the folder of LiteLLM's environment, installed now if it is not there. Raise `NotToBeHad`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = cache / "proctor-benchmarks" / "litellm"
    done = folder / "installed"
    if not done.exists():
        print("  installing LiteLLM, for this comparison alone ...", flush=True)
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", "litellm[proxy]")
        done.touch()
    return folder


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise NotToBeHad((result.stderr.strip() or "no reason was given").splitlines()[-1])


@contextmanager
def proxy(folder: Path, service: str, scratch: Path) -> Iterator[int]:
    """Yield the port of a running proxy in front of `service`. Raise `NotToBeHad` if it does not start."""
    model = {"model": "openai/demo", "api_base": f"{service}/v1", "api_key": KEY}
    config, log = scratch / "litellm.yaml", scratch / "litellm.log"
    config.write_text(json.dumps({"model_list": [{"model_name": "demo", "litellm_params": model}]}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [str(folder / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    own = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # it asks nothing of the network
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **own}, cwd=scratch, stdout=output, stderr=output)
    try:
        _await_start(process, f"http://127.0.0.1:{port}/health/liveliness", log)
        yield port
    finally:
        process.terminate()
        process.wait()


def _await_start(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx2.TransportError):
            if httpx2.get(address, timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    said = log.read_text(errors="replace").strip() or "nothing"
    raise NotToBeHad(f"it did not start within {_START_S:g} s. It said: {said.splitlines()[-1]}")
