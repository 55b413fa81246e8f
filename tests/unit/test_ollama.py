"""Finding Ollama: a server that answers, a binary, or a reason."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from harness.servers.ollama import OllamaMissing, find_ollama, server_url


class _Version(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"version": "0.33.0"}).encode()
        self.send_response(200 if self.path == "/api/version" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay quiet."""


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


def test_without_either_the_reason_says_where_was_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OllamaMissing, match=r"http://127\.0\.0\.1:1.*PATH.*install"):
        find_ollama()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("example", "http://example:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://example", "http://example:80"),
        ("https://example/path/", "https://example:443/path"),
        ("[::1]:99", "http://[::1]:99"),
    ],
)
def test_ollama_host_means_what_ollama_takes_it_for(host: str, url: str) -> None:
    assert server_url(host) == url
