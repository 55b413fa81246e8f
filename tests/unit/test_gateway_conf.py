"""The services and models that come with Proctor are complete and priced, and some backend can use each of them."""

from __future__ import annotations

import msgspec
import pytest

from backends.registry import backend, names
from harness.case import Case
from harness.endings import ConfError
from harness.gateway.prices import pricing
from harness.models.forwarding import remote_server
from harness.servers.base import ServerMissing
from harness.suite.config import load
from harness.suite.matrix import cases
from tests.support.project import CONF

REMOTE = {
    "claude_haiku": "anthropic",
    "claude_opus": "anthropic",
    "claude_sonnet": "anthropic",
    "gemini": "google",
    "gemini_flash": "google",
    "gpt": "openai",
    "gpt_small": "openai",
    "openrouter_qwen_coder": "openrouter",
}
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY")


@pytest.fixture(scope="module")
def found() -> list[Case]:
    """Return a case of each of these models with each backend that speaks a wire of its provider."""
    provider = load(CONF, "default", [f"suite.models=[{','.join(REMOTE)}]"]).provider
    found: list[Case] = []
    for name in names():
        spoken = set(backend(name).capabilities.wires)
        able = [model for model in REMOTE if spoken & set(provider[REMOTE[model]].wires)]
        suite = [f"suite.models=[{','.join(able)}]", f"suite.backends=[{name}]", "suite.environments=[small_maze]"]
        found += cases(load(CONF, "default", suite))
    return found


def test_some_backend_can_use_each_of_them_over_a_common_wire(found: list[Case]) -> None:
    assert {(case.model.name, case.provider.name) for case in found} == set(REMOTE.items())
    asked = {(case.backend.name, case.provider.name): case.wire for case in found}
    assert asked["claude", "anthropic"] == asked["opencode", "anthropic"] == "anthropic_messages"
    assert asked["codex", "openai"] == asked["opencode", "openai"] == "openai_responses"
    assert asked["opencode", "google"] == asked["pi", "google"] == "google_generate"
    assert asked["claude", "openrouter"] == "anthropic_messages"
    assert asked["opencode", "openrouter"] == "openai_chat"


def test_each_of_them_has_a_price_and_a_tls_address(found: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in KEYS:
        monkeypatch.setenv(variable, "sk-test")
    for case in found:
        assert pricing(case.model, case.provider) is not None, case.model
        assert str(case.provider.base_url).startswith("https://")
        server = remote_server(case)
        assert (server.name, server.digest, server.warnings()) == (case.model.name, None, [])


def test_a_service_without_its_key_is_missing_and_names_the_variable(
    found: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (None, "", "  \n"):
        for variable in KEYS:
            monkeypatch.delenv(variable, raising=False)
            if value is not None:
                monkeypatch.setenv(variable, value)
        for case in found:
            with pytest.raises(ServerMissing, match=f"set {case.provider.key_variable}"):
                remote_server(case)


def test_a_value_that_cannot_be_a_key_is_refused(found: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in found if case.provider.name == "anthropic")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant\nx-evil: 1")
    with pytest.raises(ServerMissing, match="ANTHROPIC_API_KEY holds a line break") as refused:
        remote_server(case)
    assert "sk-ant" not in str(refused.value)


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        (None, "is missing"),
        ("api.example.org", "is not an address"),
        ("ftp://example.org", "is not an address"),
        ("https://api.example.org/v1/", "must not end with a version"),
        *(
            (address, "only an address")
            for address in (
                "https://user:secret@example.org",
                "https://:secret@example.org",
                "https://secret@example.org",
                "https:user:secret@example.org",
                "ftp://user:secret@example.org",
                "https://user:secret%40example.org",
                "user:secret@example.org/v1",
                "https://example.org?key=secret",
                "https://example.org#secret",
            )
        ),
    ],
)
def test_a_wrong_address_is_refused_with_its_file_and_key(found: list[Case], base_url: str | None, said: str) -> None:
    provider = msgspec.structs.replace(found[0].provider, base_url=base_url)
    with pytest.raises(ConfError) as refused:
        remote_server(msgspec.structs.replace(found[0], provider=provider))
    where = f"conf/provider/{provider.name}.yaml: provider.{provider.name}.base_url"
    assert str(refused.value).startswith(where)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)
