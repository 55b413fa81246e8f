"""Holds memory of the first GPU that it may use until it is killed: `python -m tests.gpu.holding MB [PORT]`.

With a port, it answers every request there with 200, as a model server answers its health check. The memory is a tensor
of PyTorch's, or a fake one on a fake GPU.
"""

from __future__ import annotations

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.servers.gpus import MB, inventory
from tests.support.fake_gpus import write_use

HELD = "held"
"""The line that this program prints once it holds the memory."""


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Log nothing."""


def main() -> None:
    """Hold the memory."""
    tensor = _hold(int(sys.argv[1]))
    print(HELD, flush=True)
    if len(sys.argv) > 2:
        ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Healthy).serve_forever()
    signal.pause()
    del tensor


def _hold(megabytes: int) -> Any:
    fake = os.environ.get("PROCTOR_FAKE_NVML")
    if fake:
        write_use(Path(fake), os.getpid(), {inventory()[0].uuid: megabytes})
        return None
    torch: Any = import_module("torch")
    return torch.empty(megabytes * MB, dtype=torch.uint8, device="cuda")


if __name__ == "__main__":
    main()
