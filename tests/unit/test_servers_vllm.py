"""vLLM as a kind of server: its command line, the checks of it, and the error if it is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.case import ModelConf, ProviderConf
from harness.endings import ConfError
from harness.servers.base import ServerFault, ServerMissing
from harness.servers.health import get_json
from harness.servers.kinds import kind_of
from harness.servers.vllm import VllmServers
from tests.support.inference_servers import launch, option, served, started
from tests.support.stand_in_inference import install

KIND = VllmServers()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a user who has one model: Qwen/Tiny."""
    for name in ("HF_HOME", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    hub = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    repository = hub / "models--Qwen--Tiny"
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return hub


def model(**changes: Any) -> ModelConf:
    server = {"weights": "Qwen/Tiny", "tool_call_parser": "hermes", **changes.pop("server", {})}
    return ModelConf(**{"name": "tiny", "provider": "vllm", "context": 32_768, "server": server, **changes})


def provider(executable: Path | str = "/nowhere/vllm", **changes: Any) -> ProviderConf:
    return ProviderConf("vllm", "vllm", [], options={"executable": str(executable)}, **changes)


def test_options_of_the_provider_count_if_the_model_sets_none(tmp_path: Path) -> None:
    program = install(tmp_path / "bin", "vllm")
    shared = ProviderConf("vllm", "vllm", [], options={"executable": str(program), "tool_call_parser": "hermes"})
    tiny = ModelConf("tiny", "vllm", context=32_768, server={"weights": "Qwen/Tiny"})
    with served(KIND, launch(tiny, shared, tmp_path)) as url:
        assert KIND.inspect(url, tiny, shared).context == 32_768


def _tells_its_version(url: str) -> bool:
    try:
        return bool(get_json(url, "/version", dict))
    except ServerFault:
        return False


def test_it_is_the_kind_of_its_provider() -> None:
    assert isinstance(kind_of(provider()), VllmServers)


def test_it_serves_the_configured_model(tmp_path: Path) -> None:
    program = install(tmp_path / "bin", "vllm", loading=2)
    tiny = model(served_as="qwen-tiny", gpus=2, server={"reasoning_parser": "qwen3"})
    asked = launch(tiny, provider(program), tmp_path / "server", ["GPU-1", "GPU-2"])
    with served(KIND, asked) as url:
        KIND.prepare(url, tiny, asked.provider, print)
        facts = KIND.inspect(url, tiny, provider())
        metrics = KIND.metrics(url)
    assert (facts.version, facts.digest, facts.context) == ("vLLM 0.19.1", f"commit:{COMMIT}", 32_768)
    assert metrics["vllm:prompt_tokens_total"] == 21
    arguments = started(program)["arguments"]
    assert arguments[:2] == ["serve", "Qwen/Tiny"]
    assert option(arguments, "--host") == "127.0.0.1"
    assert option(arguments, "--served-model-name") == "qwen-tiny"
    assert option(arguments, "--max-model-len") == "32768"
    assert option(arguments, "--tensor-parallel-size") == "2"
    assert "--enable-auto-tool-choice" in arguments
    assert option(arguments, "--tool-call-parser") == "hermes"
    assert option(arguments, "--reasoning-parser") == "qwen3"
    assert option(arguments, "--revision") == "main"


def test_it_uses_the_users_weights_and_fetches_or_reports_nothing(tmp_path: Path, hub: Path) -> None:
    variables = KIND.environment(launch(model(), provider(), tmp_path))
    assert variables["HF_HUB_CACHE"] == str(hub)
    assert variables["HF_HUB_OFFLINE"] == variables["VLLM_NO_USAGE_STATS"] == "1"
    assert "HF_HUB_OFFLINE" not in KIND.environment(launch(model(server={"download": True}), provider(), tmp_path))


def test_no_key_or_port_of_another_vllm_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    monkeypatch.setenv("HF_HOME", "/users/hf")
    variables = KIND.environment(launch(model(), provider(), tmp_path))
    assert "VLLM_API_KEY" not in variables
    assert (variables["HF_ENDPOINT"], variables["HF_HOME"]) == ("https://mirror.example", "/users/hf")


def test_weights_in_a_folder_are_served_by_path_without_a_revision(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    tiny = model(server={"weights": str(tmp_path / "weights"), "arguments": ["--quantization", "fp8"]})
    command = list(KIND.command(launch(tiny, provider(install(tmp_path, "vllm")), tmp_path)))
    assert command[1:3] == ["serve", str(tmp_path / "weights")]
    assert "--revision" not in command
    assert command[-2:] == ["--quantization", "fp8"]


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"context": 8192}, "8192 tokens of context .*asks for 32768"),
        ({"serves": "other"}, "serves other, .*tiny.yaml asks for tiny"),
    ],
    ids=["short context", "another model"],
)
def test_a_server_of_another_model_is_a_fault(tmp_path: Path, faults: dict[str, Any], said: str) -> None:
    program = install(tmp_path / "bin", "vllm", **faults)
    with served(KIND, launch(model(), provider(program), tmp_path)) as url, pytest.raises(ServerFault, match=said):
        KIND.inspect(url, model(), provider())


def test_weights_other_than_the_pinned_ones_are_a_fault(tmp_path: Path) -> None:
    program = install(tmp_path / "bin", "vllm")
    pinned = model(digest="commit:" + "f" * 40)
    with (
        served(KIND, launch(pinned, provider(program), tmp_path)) as url,
        pytest.raises(ServerFault, match=rf"are commit:{COMMIT}, but conf/model/tiny\.yaml pins commit:f"),
    ):
        KIND.inspect(url, pinned, provider())


def test_a_configured_server_is_used_unchanged_once_it_answers(tmp_path: Path) -> None:
    program = install(tmp_path / "bin", "vllm")
    with served(KIND, launch(model(), provider(program), tmp_path)) as url:
        assert KIND.external_url(provider(base_url=f"{url}/")) == url
    assert KIND.external_url(provider()) is None
    with pytest.raises(
        ServerFault, match=r"/health does not answer with 200.*base_url.*start it, or set provider\.vllm"
    ):
        KIND.external_url(provider(base_url=url))


def test_an_engine_that_died_is_not_healthy(tmp_path: Path) -> None:
    program = install(tmp_path / "bin", "vllm", dead=True)
    with served(KIND, launch(model(), provider(program), tmp_path), ready=_tells_its_version) as url:
        assert not KIND.healthy(url)


def test_the_error_for_a_missing_vllm_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(ServerMissing, match=r"no vLLM: .*nowhere/vllm.*pip install vllm.*options\.executable"):
        KIND.command(launch(model(), provider(), tmp_path))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("Qwen/Huge", r"no weights of tiny: Qwen/Huge .*hf download Qwen/Huge --revision main.*server\.download=true"),
        ("/nowhere/weights", r"no weights of tiny: there is no folder /nowhere/weights .*tiny\.yaml"),
    ],
)
def test_the_error_for_missing_weights_says_how_to_get_them(tmp_path: Path, weights: str, said: str) -> None:
    wanted = model(server={"weights": weights})
    with pytest.raises(ServerMissing, match=said):
        KIND.command(launch(wanted, provider(install(tmp_path, "vllm")), tmp_path))


def test_missing_weights_may_be_fetched_if_configured(tmp_path: Path) -> None:
    wanted = model(server={"weights": "Qwen/Huge", "download": True})
    assert "Qwen/Huge" in KIND.command(launch(wanted, provider(install(tmp_path, "vllm")), tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"server": {"tool_parser": "x"}},
            r"conf/model/tiny\.yaml: server.*tool_parser.*the options are: .*tool_call_p",
        ),
        ({"server": {"weights": ""}}, r"conf/model/tiny\.yaml: server.*weights"),
        ({"served_as": "Qwen/Tiny"}, r"conf/model/tiny\.yaml: served_as: Qwen/Tiny: must not contain `/`"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfError, match=said):
        KIND.command(launch(model(**changes), provider(install(tmp_path, "vllm")), tmp_path))
