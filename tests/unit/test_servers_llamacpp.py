"""llama.cpp as a kind of server: its command line, the checks of it, and the error if it is missing."""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.case import ModelConf, ProviderConf
from harness.endings import ConfError
from harness.servers import health
from harness.servers.base import ServerFault, ServerMissing
from harness.servers.kinds import kind_of
from harness.servers.llamacpp import LlamaCppServers
from tests.support.inference_servers import launch, option, served, started
from tests.support.stand_in_inference import install

KIND = LlamaCppServers()
WEIGHTS = b"GGUF and so on"
DIGEST = "sha256:" + hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(WEIGHTS)
    return path


def model(file: Path | str, **changes: Any) -> ModelConf:
    server = {"file": str(file), **changes.pop("server", {})}
    return ModelConf(**{"name": "tiny", "provider": "llamacpp", "context": 8192, "server": server, **changes})


def provider(executable: Path | str | None = None, **changes: Any) -> ProviderConf:
    return ProviderConf(
        "llamacpp", "llamacpp", [], options={"executable": executable and str(executable), "start_s": 60}, **changes
    )


def test_it_is_the_kind_of_its_provider() -> None:
    assert isinstance(kind_of(provider()), LlamaCppServers)


def test_it_serves_the_configured_model(tmp_path: Path, weights: Path) -> None:
    program = install(tmp_path / "bin", "llama-server", loading=2)
    tiny = model(weights, parallel=2, digest=DIGEST, server={"threads": 1})
    asked = launch(tiny, provider(program), tmp_path / "server")
    with served(KIND, asked) as url:
        KIND.prepare(url, tiny, asked.provider, print)
        facts = KIND.inspect(url, tiny, provider())
        metrics = KIND.metrics(url)
    assert (facts.version, facts.digest, facts.context) == ("llama.cpp b8681-Debian", DIGEST, 8192)
    assert metrics["llamacpp:prompt_tokens_total"] == 21
    arguments = started(program)["arguments"]
    assert option(arguments, "--model") == str(weights)
    assert option(arguments, "--alias") == "tiny"
    assert option(arguments, "--host") == "127.0.0.1"
    assert option(arguments, "--ctx-size") == "16384"
    assert option(arguments, "--parallel") == "2"
    assert option(arguments, "--threads") == "1"
    assert option(arguments, "--n-gpu-layers") == "0"


def test_all_layers_go_to_the_leased_gpus(tmp_path: Path, weights: Path) -> None:
    program = install(tmp_path / "bin", "llama-server", devices=2)
    command = KIND.command(launch(model(weights, gpus=1), provider(program), tmp_path, ["GPU-1"]))
    assert int(option(command, "--n-gpu-layers")) >= 999


def test_a_build_without_gpu_support_is_not_given_a_gpu(tmp_path: Path, weights: Path) -> None:
    program = install(tmp_path / "bin", "llama-server")
    with pytest.raises(ServerMissing, match=r"--list-devices shows no GPU"):
        KIND.command(launch(model(weights, gpus=1), provider(program), tmp_path, ["GPU-1"]))


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"context": 2048}, r"gives a session 2048 tokens of context, .*tiny\.yaml asks for 8192: .*--ctx-size"),
        ({"serves": "/models/other.gguf"}, r"serves /models/other\.gguf, but .*tiny\.yaml asks for .*tiny\.gguf"),
    ],
    ids=["short context", "another model"],
)
def test_a_server_of_another_model_is_a_fault(tmp_path: Path, weights: Path, faults: Any, said: str) -> None:
    program = install(tmp_path / "bin", "llama-server", **faults)
    tiny = model(weights)
    with served(KIND, launch(tiny, provider(program), tmp_path)) as url, pytest.raises(ServerFault, match=said):
        KIND.inspect(url, tiny, provider())


def test_weights_other_than_the_pinned_ones_are_a_fault(tmp_path: Path, weights: Path) -> None:
    program = install(tmp_path / "bin", "llama-server")
    pinned = model(weights, digest="sha256:" + "0" * 64)
    with (
        served(KIND, launch(pinned, provider(program), tmp_path)) as url,
        pytest.raises(ServerFault, match=rf"are {DIGEST}, but conf/model/tiny\.yaml pins sha256:000"),
    ):
        KIND.inspect(url, pinned, provider())


def test_pinned_weights_that_cannot_be_read_here_are_a_fault(tmp_path: Path, weights: Path) -> None:
    program = install(tmp_path / "bin", "llama-server", serves="/elsewhere/tiny.gguf")
    tiny, pinned = model(weights), model(weights, digest=DIGEST)
    with served(KIND, launch(tiny, provider(program), tmp_path)) as url:
        assert KIND.inspect(url, tiny, provider()).digest is None
        with pytest.raises(ServerFault, match="cannot be identified"):
            KIND.inspect(url, pinned, provider())


def test_weights_in_several_files_have_one_digest_of_all_files(tmp_path: Path) -> None:
    for n, part in enumerate((b"GGUF", b" and so on"), start=1):
        (tmp_path / f"tiny-{n:05}-of-00002.gguf").write_bytes(part)
    split = model(tmp_path / "tiny-00001-of-00002.gguf", digest=DIGEST)
    program = install(tmp_path / "bin", "llama-server")
    with served(KIND, launch(split, provider(program), tmp_path)) as url:
        assert KIND.inspect(url, split, provider()).digest == DIGEST


def test_a_configured_server_is_used_unchanged_once_it_answers(tmp_path: Path, weights: Path) -> None:
    program = install(tmp_path / "bin", "llama-server")
    with served(KIND, launch(model(weights), provider(program), tmp_path)) as url:
        assert KIND.external_url(provider(base_url=f"{url}/")) == url
    assert KIND.external_url(provider()) is None
    with pytest.raises(ServerFault, match=r"/health does not answer with 200 .*base_url"):
        KIND.external_url(provider(base_url=url))


def test_its_log_shows_an_answer_that_was_cut() -> None:
    fine = "slot      release: id  0 | task 1 | stop processing: n_tokens = 2659, truncated = 0\n"
    assert KIND.warnings(fine) == []
    assert KIND.warnings(fine.replace("truncated = 0", "truncated = 1")) == [
        "a session filled the context, and its last answer was cut there"
    ]


def test_the_program_on_path_is_preferred_to_the_package(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = install(tmp_path / "bin", "llama-server")
    monkeypatch.setenv("PATH", str(program.parent))
    assert KIND.command(launch(model(weights), provider(), tmp_path))[0] == str(program)


def test_without_the_program_the_package_serves(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _package(tmp_path, monkeypatch, "xllamacpp")
    monkeypatch.setenv("PATH", str(tmp_path))
    command = KIND.command(launch(model(weights), provider(), tmp_path))
    assert command[0] == sys.executable
    assert Path(command[2]).name == "llamacpp_launcher.py"


def test_the_error_for_a_missing_program_says_how_to_install_it(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(ServerMissing, match=r"no llama\.cpp: .*nowhere/llama-server.*proctor setup --extra local"):
        KIND.command(launch(model(weights), provider("/nowhere/llama-server"), tmp_path))


def test_weights_in_a_package_are_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _package(tmp_path, monkeypatch, "tiny_weights", "raise AssertionError('imported')")
    (folder / "tiny.gguf").write_bytes(WEIGHTS)
    program = install(tmp_path / "bin", "llama-server")
    tiny = model("package:tiny_weights/tiny.gguf")
    with served(KIND, launch(tiny, provider(program), tmp_path)) as url:
        assert KIND.inspect(url, tiny, provider()).digest == DIGEST
    assert option(started(program)["arguments"], "--model") == str(folder / "tiny.gguf")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("/nowhere/tiny.gguf", r"no weights of tiny: there is no file /nowhere/tiny\.gguf .*tiny\.yaml"),
        ("package:tiny_none/tiny.gguf", r"no installed Python package tiny_none contains tiny\.gguf .*tiny-none"),
    ],
)
def test_the_error_for_missing_weights_says_how_to_get_them(tmp_path: Path, file: str, said: str) -> None:
    program = install(tmp_path / "bin", "llama-server")
    with pytest.raises(ServerMissing, match=said):
        KIND.command(launch(model(file), provider(program), tmp_path))


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"layers": 3}, r"conf/model/tiny\.yaml: server.*layers.*the options are: file, executable"),
        ({"file": ""}, r"conf/model/tiny\.yaml: server.*file"),
        ({"threads": 0}, r"conf/model/tiny\.yaml: server.*threads"),
        ({"file": "package:tiny"}, r"tiny\.yaml: server\.file: package:tiny: must be of the form package:NAME/FILE"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, weights: Path, server: dict[str, Any], said: str) -> None:
    program = install(tmp_path / "bin", "llama-server")
    with pytest.raises(ConfError, match=said):
        KIND.command(launch(model(weights, server=server), provider(program), tmp_path))


def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str = "") -> Path:
    """Install a Python package."""
    folder = tmp_path / "site" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


@pytest.mark.parametrize("loads", [True, False], ids=["loads", "dies"])
def test_a_configured_server_that_is_loading_is_waited_for_by_one_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loads: bool
) -> None:
    monkeypatch.setenv("PROCTOR_LEASES", str(tmp_path / "leases"))
    monkeypatch.setattr(health, "_POLL_S", 0.02)
    looks: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            looks.append(self.path)
            is_loading = len(looks) < 40
            body = b'{"error": {"code": 503, "message": "Loading model"}}' if is_loading else b"{}"
            self.send_response(503 if is_loading or not loads else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(4) as threads:
        threads.submit(server.serve_forever, 0.01)
        configured = provider(base_url=f"http://127.0.0.1:{server.server_port}")
        try:
            workers = [threads.submit(KIND.external_url, configured) for _ in range(3)]
            if loads:
                assert {worker.result(30) for worker in workers} == {configured.base_url}
                assert len(looks) < 55, "the others do not look meanwhile"
            else:
                for worker in workers:
                    with pytest.raises(ServerFault, match="does not answer with 200"):
                        worker.result(30)
        finally:
            server.shutdown()
