"""Ollama: finding it, and the checks of a server before its use."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2
import pytest

from harness.case import ProviderConf
from harness.endings import ConfError
from harness.servers.base import ServerFault, ServerMissing
from harness.servers.ollama import BARE, OllamaMissing, find_ollama
from tests.support.serving import MODEL, Machine


class _Version(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"version": "0.33.0"}).encode()
        self.send_response(200 if self.path == "/api/version" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Version) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_server_that_answers_is_found_with_its_version(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server)
    found = find_ollama()
    assert (found.url, found.version) == (f"http://{server}", "0.33.0")


def test_without_a_server_the_binary_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "ollama"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ollama().binary == binary


def test_without_either_the_reason_names_the_places_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OllamaMissing, match=r"http://127\.0\.0\.1:1.*PATH.*install"):
        find_ollama()


class TestKind:
    """The checks of an Ollama server before the first case, with the stand-in."""

    @pytest.fixture
    def machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
        return Machine(tmp_path, monkeypatch)

    def test_a_model_that_is_missing_is_named_with_the_command_that_gets_it(self, machine: Machine) -> None:
        with pytest.raises(ServerMissing) as missing:
            machine.acquire(served_as="gpt-oss:20b")
        assert f"Ollama has no model gpt-oss:20b in {machine.ollama.models}, the store of" in str(missing.value)
        assert "set provider.ollama.options.pull=true" in str(missing.value)
        assert machine.is_clean()
        assert machine.ollama.events("pull") == []

    def test_it_is_pulled_with_a_progress_bar_if_configured(self, machine: Machine) -> None:
        machine.ollama.turn(pullable={"gpt-oss:20b": {"size": 14_000_000_000}})
        messages: list[str] = []
        with machine.acquire(served_as="gpt-oss:20b", server={"pull": True}, progress=messages.append) as lease:
            assert lease.memory_mb() == 14_000
        assert "pulling gpt-oss:20b [#####               ] 25 %, 2.0 of 8.0 GB" in messages
        assert "pulling gpt-oss:20b [####################] 100 %, 8.0 of 8.0 GB" in messages
        with machine.acquire(served_as="gpt-oss:20b", server={"pull": True}):
            assert len(machine.ollama.events("pull")) == 1

    def test_workers_that_want_the_same_model_pull_it_once(self, machine: Machine) -> None:
        machine.ollama.turn(pullable={"gpt-oss:20b": {}})
        asked = {"served_as": "gpt-oss:20b", "server": {"pull": True}}
        with machine.worker(**asked) as one, machine.worker(**asked) as other:
            assert one.held() != other.held()
            one.release()
            other.release()
        assert len(machine.ollama.events("pull")) == 1

    @pytest.mark.parametrize(
        ("pullable", "error"),
        [({}, "file does not exist"), ({"gpt-oss:20b": {}}, "write: no space left on device")],
        ids=["unknown", "disk full"],
    )
    def test_a_pull_that_fails_after_its_first_lines_is_a_fault(
        self, machine: Machine, pullable: dict[str, object], error: str
    ) -> None:
        machine.ollama.turn(pullable=pullable, pull_error=error)
        with pytest.raises(ServerFault, match=f"gpt-oss:20b: .*{error}"):
            machine.acquire(served_as="gpt-oss:20b", server={"pull": True})

    def test_a_model_without_tools_is_a_fault_and_is_not_even_loaded(self, machine: Machine) -> None:
        machine.ollama.add_model("gemma3:27b", capabilities=["completion", "vision"])
        with pytest.raises(ServerFault, match=r"gemma3:27b cannot call tools, .* capabilities: completion, vision"):
            machine.acquire(served_as="gemma3:27b")
        assert machine.ollama.events("load") == []

    def test_a_context_larger_than_the_models_is_a_fault(self, machine: Machine) -> None:
        machine.ollama.add_model("small", context_length=8192)
        with pytest.raises(
            ServerFault, match=r"gave small a context of 8192 tokens, not the configured 65536; .*lower context in conf"
        ):
            machine.acquire(served_as="small")

    @pytest.mark.parametrize(("share", "percent"), [(0.6, 60), (0.0, 0)], ids=["split", "cpu"])
    def test_a_model_that_does_not_fit_on_its_gpu_is_a_fault(
        self, machine: Machine, share: float, percent: int
    ) -> None:
        machine.ollama.turn(vram_share=share)
        with pytest.raises(ServerFault, match=f"only {percent} % of model {MODEL} .*are on the GPU"):
            machine.acquire()
        assert machine.is_clean()

    def test_weights_other_than_the_pinned_ones_are_a_fault(self, machine: Machine) -> None:
        with machine.acquire() as lease:
            digest = lease.facts.digest
        assert digest
        with machine.acquire(digest=digest), machine.acquire(digest=digest.removeprefix("sha256:")[:12]):
            pass
        with pytest.raises(ServerFault, match=f"has digest {digest}, but .* pins sha256:0000"):
            machine.acquire(digest="sha256:0000000000000000")

    def test_a_version_without_the_messages_wire_serves_backends_that_do_not_need_it(self, machine: Machine) -> None:
        machine.ollama.turn(version="0.13.5")
        with pytest.raises(ServerMissing, match=r"0\.13\.5 .* too old: /v1/messages needs 0\.14\.0 or later"):
            machine.acquire()
        with machine.acquire(provider=ProviderConf("ollama", "ollama", ["openai_chat"])) as lease:
            assert lease.facts.version == "0.13.5"

    def test_a_request_to_a_full_queue_is_repeated(self, machine: Machine) -> None:
        machine.ollama.turn(busy=2)
        with machine.acquire():
            assert len(machine.ollama.events("busy")) == 3

    def test_a_loading_error_is_reported_in_its_own_words(self, machine: Machine) -> None:
        machine.ollama.turn(load_error="llama runner process has terminated: CUDA error: out of memory")
        with pytest.raises(ServerFault, match="status 500: llama runner process has terminated: CUDA error"):
            machine.acquire()

    def test_cut_prompts_are_found_in_the_log_from_a_given_place(self, machine: Machine) -> None:
        with machine.acquire(context=100) as lease:
            _ask(lease.url, "x" * 1000)
            since = lease.log_size()
            assert len(lease.warnings()) == 1
            assert lease.warnings(since) == []
            _ask(lease.url, "x" * 1000)
            _ask(lease.url, "x" * 1000)
            (warning,) = lease.warnings(since)
            assert re.fullmatch(r"Ollama cut 2 prompts of up to \d+ tokens to the 100 that fit", warning)

    def test_a_server_without_a_model_can_start(self, machine: Machine) -> None:
        with machine.acquire(kind=BARE, served_as=None, gpus=0, parallel=100) as lease:
            assert (lease.facts.version, lease.facts.digest) == ("0.33.0", None)
            assert machine.ollama.events("load") == []

    def test_an_unknown_option_is_named_with_the_existing_ones(self, machine: Machine) -> None:
        with pytest.raises(
            ConfError, match=r"conf/model/qwen.yaml: server, .*`pul`.*the options are: executable, pull"
        ):
            machine.acquire(server={"pul": True})
        with pytest.raises(ConfError, match="start_s"):
            machine.acquire(server={"start_s": -1})
        assert machine.is_clean()


def _ask(url: str, text: str) -> None:
    answer = httpx2.post(
        f"{url}/v1/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": text}]},
        trust_env=False,
        timeout=30,
    )
    assert answer.json()["choices"][0]["message"]["content"] == "Scripted session"
