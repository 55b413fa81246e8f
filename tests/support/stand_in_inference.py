"""Stand-in executables for `vllm` and `llama-server`. They keep the parts of the published contract that Proctor uses.

Both take the command line of the real program (an unknown argument ends them), listen on loopback, answer `/health`
once their model is loaded, and write their arguments and environment into the file `started.json` beside them. The
faults that a test wants are written into the executable by `install`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
METRICS = """\
# HELP {prefix}:prompt_tokens_total Number of prefill tokens processed.
# TYPE {prefix}:prompt_tokens_total counter
{prefix}:prompt_tokens_total{{engine="0",model_name="a {{b}} c"}} 17.0
{prefix}:prompt_tokens_total{{engine="1",model_name="a {{b}} c"}} 4
{prefix}:kv_cache_usage_perc 0.5
"""


def install(folder: Path, program: str, **faults: Any) -> Path:
    """Put an executable `program` into the folder and return its path.

    `loading`: the number of requests to `/health` that find it still loading. `dead`: its engine has died. `context`:
    the context of a session, whatever the arguments say. `serves`: the name or file that it claims to serve. `devices`:
    GPUs of llama.cpp.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / program
    path.write_text(
        f"#!{sys.executable} -I\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.support.stand_in_inference import main\nmain({program!r}, {str(folder)!r}, {faults!r})\n"
    )
    path.chmod(0o755)
    return path


def main(program: str, folder: str, faults: dict[str, Any]) -> None:
    """Run as that program, with the arguments of this process."""
    if program == "llama-server" and sys.argv[1:] == ["--list-devices"]:
        print("Available devices:")
        for n in range(faults.get("devices", 0)):
            print(f"  CUDA{n}: NVIDIA H100 80GB HBM3 (81079 MiB, 80560 MiB free)")
        return
    asked = _arguments(program)
    started = {"arguments": sys.argv[1:], "environment": dict(os.environ)}
    Path(folder, "started.json").write_text(json.dumps(started))
    answers = (_vllm if program == "vllm" else _llama)(asked, faults)
    looks = faults.get("loading", 0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal looks
            status, body = answers.get(self.path, (404, {"detail": "Not Found"}))
            if looks and self.path == "/health":
                looks -= 1
                status, body = 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer((asked.host, asked.port), Handler) as server:
        server.serve_forever(poll_interval=0.01)


def _arguments(program: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    if program == "vllm":
        parser.add_argument("command", choices=["serve"])
        parser.add_argument("model")
        for name in ("served-model-name", "tool-call-parser", "reasoning-parser", "revision", "quantization"):
            parser.add_argument(f"--{name}")
        for name in ("max-model-len", "tensor-parallel-size"):
            parser.add_argument(f"--{name}", type=int)
        parser.add_argument("--enable-auto-tool-choice", action="store_true")
    else:
        for name in ("model", "alias"):
            parser.add_argument(f"--{name}")
        for name in ("ctx-size", "parallel", "n-gpu-layers", "threads"):
            parser.add_argument(f"--{name}", type=int)
        for name in ("jinja", "metrics", "no-mmap"):
            parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def _vllm(asked: argparse.Namespace, faults: dict[str, Any]) -> dict[str, tuple[int, Any]]:
    name = faults.get("serves", asked.served_model_name or asked.model)
    model = {
        "id": name,
        "object": "model",
        "created": 1_760_000_000,
        "owned_by": "vllm",
        "root": asked.model,
        "parent": None,
        "max_model_len": faults.get("context", asked.max_model_len),
        "permission": [],
    }
    return {
        "/health": (503 if faults.get("dead") else 200, ""),
        "/version": (200, {"version": "0.19.1"}),
        "/v1/models": (200, {"object": "list", "data": [model]}),
        "/metrics": (200, METRICS.format(prefix="vllm")),
    }


def _llama(asked: argparse.Namespace, faults: dict[str, Any]) -> dict[str, tuple[int, Any]]:
    props = {
        "default_generation_settings": {
            "params": {"temperature": 0.8},
            "n_ctx": faults.get("context", asked.ctx_size // asked.parallel),
        },
        "total_slots": asked.parallel,
        "model_alias": asked.alias,
        "model_path": faults.get("serves", asked.model),
        "build_info": "b8681-Debian",
    }
    return {
        "/health": (200, {"status": "ok"}),
        "/props": (200, props),
        "/metrics": (200, METRICS.format(prefix="llamacpp")) if asked.metrics else (501, {"error": {"code": 501}}),
    }
