"""A stand-in for the `ollama` executable, for a machine that cannot run the real one. It keeps the published contract.

Like Ollama, it listens before it serves and prints its address on standard error. It shares its models' folder. It
streams the progress of a pull line by line, with errors after status 200. It loads a model into a child called
llama-server that holds GPU memory (of the fake NVML). Its context is OLLAMA_CONTEXT_LENGTH; it cuts longer prompts and
only logs a line about that. It ends its child on SIGTERM and orphans it on SIGKILL. It answers on the wires by playing
a script. `KNOBS` say how it fails.

All servers write what they do into `events.jsonl` in the folder of the launcher.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VERSION = "0.33.0"
KNOBS: dict[str, Any] = {
    "version": VERSION,
    "start_s": 0.0,  # seconds from listening to serving
    "load_s": 0.0,  # seconds to load a model
    "unload_s": 0.0,  # seconds to end after SIGTERM
    "deaf": False,  # true: it ignores SIGTERM
    "ports_taken": 0,  # the number of starts that find their port in use
    "dies": 0,  # the number of starts that end with an error
    "vram_share": 1.0,  # the share of a model that goes to the GPUs
    "load_error": None,  # the error with which loading fails, with status 500
    "busy": 0,  # the number of requests answered with 503
    "crash_at": [],  # the model requests, by number, at which it is killed
    "pullable": {},  # models that it can pull, by name, as for `add_model`
    "pull_error": None,  # the error with which a pull fails after its first lines
    "script": str(ROOT / "conf/scripts/small_maze.yaml"),
    "scripts": {},  # other scripts, each by a text in the request
    "workspace": None,  # the workspace that the CLIs see; None: bubblewrap's
}


def add_model(models: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Write the model's file: digest, size (bytes), capabilities, context_length (the context it was trained for)."""
    models.mkdir(parents=True, exist_ok=True)
    name = name if ":" in name else f"{name}:latest"
    model = {
        "name": name,
        "digest": hashlib.sha256(name.encode()).hexdigest(),
        "size": 18_000_000_000,
        "capabilities": ["completion", "tools"],
        "context_length": 262_144,
        **facts,
    }
    path = models / (name.replace("/", "%") + ".json")
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(model))
    new.replace(path)


def read_events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Ollama:
    """One server: its knobs, its models, and the loaded model."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["STAND_IN_OLLAMA"])
        self.models = Path(os.environ.get("OLLAMA_MODELS", "~/.ollama/models")).expanduser()
        self.child: subprocess.Popen[bytes] | None = None
        self.name = ""
        self.lock = threading.Lock()

    @property
    def knobs(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "knobs.json").read_text()))

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(map(int, self.knobs["version"].split(".")))

    @property
    def gpus(self) -> list[str]:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "-1")
        return [] if visible == "-1" else visible.split(",")

    def note(self, event: str, **more: Any) -> int:
        """Record an event. Return how many events of its kind all servers have recorded."""
        with (self.folder / "events.jsonl").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps({"event": event, "pid": os.getpid(), "gpus": self.gpus, **more}) + "\n")
            file.flush()
            file.seek(0)
            events = [str(json.loads(line)["event"]) for line in file]
            return events.count(event)

    def model(self, name: str) -> dict[str, Any] | None:
        name = name if ":" in name else f"{name}:latest"
        path = self.models / (name.replace("/", "%") + ".json")
        return dict(json.loads(path.read_text())) if path.exists() else None

    def context(self, model: Mapping[str, Any]) -> int:
        return min(int(os.environ.get("OLLAMA_CONTEXT_LENGTH", "4096")), int(model["context_length"]))

    def vram(self, model: Mapping[str, Any]) -> int:
        return int(model["size"] * self.knobs["vram_share"]) if self.gpus else 0

    def load(self, model: Mapping[str, Any]) -> None:
        """Load the model into a llama-server. It replaces any other model."""
        with self.lock:
            if self.name == model["name"] and self.child and self.child.poll() is None:
                return
            self.unload()
            time.sleep(self.knobs["load_s"])
            sleep = shutil.which("sleep")
            assert sleep
            self.child = subprocess.Popen(["/llama-server", "infinity"], executable=sleep)
            file = os.environ.get("PROCTOR_FAKE_NVML")
            if file and self.gpus:
                from tests.support.fake_gpus import write_use  # noqa: PLC0415 - only where there are GPUs

                each = self.vram(model) // len(self.gpus) // 1_000_000
                write_use(Path(file), self.child.pid, dict.fromkeys(self.gpus, each))
            self.name = model["name"]
            self.note("load", model=self.name, child=self.child.pid)

    def unload(self) -> None:
        if self.child:
            self.child.kill()
            self.child.wait()
        self.child, self.name = None, ""

    def crash(self) -> None:
        """Die by SIGKILL. The child stays."""
        os.kill(os.getpid(), signal.SIGKILL)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ollama: Ollama

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Log nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        ollama = self.ollama
        match self.path:
            case "/":
                self.answer(200, b"Ollama is running", "text/plain")
            case "/api/version":
                self.answer(200, {"version": ollama.knobs["version"]})
            case "/api/tags":
                files = sorted(ollama.models.glob("*.json"))
                self.answer(200, {"models": [_listed(json.loads(file.read_text())) for file in files]})
            case "/api/ps":
                self.answer(200, {"models": list(self.loaded())})
            case _:
                self.answer(404, {"error": "not found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.startswith("/v1/"):
            self.play(body)
            return
        asked = json.loads(body or b"{}")
        name = asked.get("model", "")
        model = self.ollama.model(name)
        if self.path == "/api/pull":
            self.pull(name)
        elif model is None:
            self.answer(404, {"error": f"model '{name}' not found"})
        elif self.path == "/api/show":
            info = {"general.architecture": "stand", "stand.context_length": model["context_length"]}
            self.answer(200, {"capabilities": model["capabilities"], "model_info": info, "template": "", "details": {}})
        elif self.path == "/api/generate":
            self.generate(model, asked)
        else:
            self.answer(404, {"error": "not found"})

    def loaded(self) -> Iterator[dict[str, Any]]:
        ollama = self.ollama
        model = ollama.model(ollama.name) if ollama.name else None
        if model:
            loaded = {**_listed(model), "size_vram": ollama.vram(model), "expires_at": "2318-01-01T00:00:00Z"}
            if ollama.version >= (0, 13, 5):
                loaded["context_length"] = ollama.context(model)
            yield loaded

    def generate(self, model: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        """Preload or unload. Unloading answers at once and happens later."""
        ollama = self.ollama
        if asked.get("keep_alive") == 0:
            threading.Timer(ollama.knobs["unload_s"], ollama.unload).start()
            self.answer(200, {"model": model["name"], "done": True, "done_reason": "unload"})
        elif self.is_busy():
            self.answer(503, {"error": BUSY})
        elif ollama.knobs["load_error"]:
            self.answer(500, {"error": ollama.knobs["load_error"]})
        else:
            ollama.load(model)
            self.answer(200, {"model": model["name"], "response": "", "done": True, "done_reason": "load"})

    def is_busy(self) -> bool:
        busy = self.ollama.knobs["busy"]
        return bool(busy) and self.ollama.note("busy") <= busy

    def pull(self, name: str) -> None:
        """Stream the progress of a pull. Errors come after status 200."""
        knobs = self.ollama.knobs
        facts = knobs["pullable"].get(name)
        self.ollama.note("pull", model=name)
        lines: list[dict[str, Any]] = [{"status": "pulling manifest"}]
        if facts is None:
            lines.append({"error": "pull model manifest: file does not exist"})
        else:
            layer = {"status": "pulling 0123456789ab", "digest": "sha256:0123456789ab", "total": 8_000_000_000}
            lines += [layer, {**layer, "completed": 2_000_000_000}]
            if knobs["pull_error"]:
                lines.append({"error": knobs["pull_error"]})
            else:
                lines += [{**layer, "completed": 8_000_000_000}, {"status": "verifying sha256 digest"}]
                lines += [{"status": "writing manifest"}, {"status": "success"}]
                add_model(self.ollama.models, name, facts)
        self.head(200, "application/x-ndjson")
        for line in lines:
            self.chunk(json.dumps(line).encode() + b"\n")
        self.chunk(b"")

    def play(self, body: bytes) -> None:
        """Answer a request on a wire by playing the script."""
        from harness.gateway.wires import anthropic_messages, openai_chat, openai_responses  # noqa: PLC0415 - late

        wires: dict[str, Any] = {"/v1/chat/completions": openai_chat, "/v1/responses": openai_responses}
        if self.ollama.version >= (0, 14, 0):
            wires["/v1/messages"] = anthropic_messages
        wire = wires.get(self.path.partition("?")[0])
        if wire is None:
            self.answer(404, b"404 page not found", "text/plain")
            return
        request = wire.parse(body)
        model = self.ollama.model(request.model)
        if model is None:
            self.answer(404, wire.error(404, f"model '{request.model}' not found"))
        elif request.tools and "tools" not in model["capabilities"]:
            self.answer(400, wire.error(400, f"{request.model} does not support tools"))
        elif self.is_busy():
            self.answer(503, wire.error(503, BUSY))
        else:
            self.ollama.load(model)
            self.answer_by_script(wire, request, model, body)

    def answer_by_script(self, wire: Any, request: Any, model: Mapping[str, Any], body: bytes) -> None:
        import asyncio  # noqa: PLC0415 - late: a server that only starts and stops needs none of this

        from harness.gateway.provider import AnswerError, Call, StreamCut  # noqa: PLC0415 - late
        from harness.sandbox.filesystem import WORKSPACE  # noqa: PLC0415 - late

        tokens, context = len(body) // 4, self.ollama.context(model)
        if tokens > context:
            print(
                f'time=2025-01-01T00:00:00.000Z level=WARN source=runner.go:153 msg="truncating input prompt" '
                f"limit={context} prompt={tokens} keep=4 new={context}",
                file=sys.stderr,
                flush=True,
            )
        number = self.ollama.note("request", model=model["name"], path=self.path, turn=request.turn)
        if number in self.ollama.knobs["crash_at"]:
            self.ollama.crash()
        workspace = self.ollama.knobs["workspace"] or WORKSPACE
        call = Call(request=request, wire=wire, path=self.path, headers={}, body=body, workspace=workspace)

        async def run() -> None:
            answer = await _player(self.ollama.knobs, body).answer(call)
            self.head(answer.status, answer.headers["content-type"])
            async for chunk in answer.chunks:
                self.chunk(chunk)
            self.chunk(b"")

        try:
            asyncio.run(run())
        except AnswerError as error:
            self.answer(error.status, wire.error(error.status, str(error)))
        except StreamCut:
            self.close_connection = True

    def answer(self, status: int, body: Any, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


BUSY = "server busy, please try again.  maximum pending requests exceeded"
_players: dict[str, Any] = {}


def _player(knobs: Mapping[str, Any], body: bytes) -> Any:
    """Return the player of the script that the request asks for. Each script has its own, which counts its failures."""
    from harness.gateway.script import load_script  # noqa: PLC0415 - late
    from harness.gateway.scripted import ScriptedProvider  # noqa: PLC0415 - late

    chosen = next((path for text, path in knobs["scripts"].items() if text.encode() in body), knobs["script"])
    if chosen not in _players:
        _players[chosen] = ScriptedProvider(load_script(Path(chosen)))
    return _players[chosen]


def _listed(model: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: model[name] for name in ("name", "size", "digest", "capabilities")}
    return {**facts, "model": model["name"], "modified_at": "2025-01-01T00:00:00Z", "details": {"family": "stand"}}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away."""


def serve() -> None:
    """Run `ollama serve`."""
    ollama = Ollama()
    host, _, port = os.environ.get("OLLAMA_HOST", "127.0.0.1:11434").rpartition(":")
    knobs = ollama.knobs
    starts = ollama.note("start")
    if starts <= knobs["dies"]:
        sys.exit("Error: something is wrong with this machine")
    handler = type("Bound", (Handler,), {"ollama": ollama})
    try:
        if starts <= knobs["ports_taken"]:
            raise OSError
        server = Server((host or "127.0.0.1", int(port)), handler)
    except OSError:
        sys.exit(f"Error: listen tcp {host}:{port}: bind: address already in use")
    print(f'msg="Listening on {host}:{server.server_port} (version {knobs["version"]})"', file=sys.stderr, flush=True)

    def stop(*_: object) -> None:
        if ollama.knobs["deaf"]:
            return
        ollama.unload()
        time.sleep(ollama.knobs["unload_s"])
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    key = Path.home() / ".ollama" / "id_ed25519"
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_text("stand-in\n")
    time.sleep(knobs["start_s"])
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever(poll_interval=0.05)


def main() -> None:
    """Run the command line."""
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["--version"]:
            print(f"ollama version is {Ollama().knobs['version']}")
        case _:
            sys.exit("usage: ollama serve | --version")


if __name__ == "__main__":
    main()
