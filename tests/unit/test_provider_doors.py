"""The packaged providers: where each request goes, and what it carries. No request leaves this machine."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.case import ModelConf, ProviderConf
from harness.endings import ConfError
from harness.gateway.credential import Credential, CredentialMissing
from harness.gateway.doors import Door, VariableMissing, door_of, filled
from harness.gateway.forward import Forwarder
from harness.gateway.prices import pricing
from harness.gateway.provider import Answer, Call
from harness.gateway.routes import route
from harness.gateway.script import Script, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.signing import credential_of
from harness.models.forwarding import remote_server
from harness.models.providers import PROVIDERS
from harness.servers.base import ServerMissing
from harness.suite.config import load, load_providers
from harness.suite.matrix import cases
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, address, conversation
from tests.support.project import CONF
from tests.support.stand_in_upstream import Received, Upstream

KEY = "key-of-the-host-0123456789"
BEARER = ("authorization", f"Bearer {KEY}")
HOST = {
    "AZURE_OPENAI_RESOURCE": "our-lab",
    "AWS_REGION": "eu-west-1",
    "AWS_BEARER_TOKEN_BEDROCK": KEY,
    "GOOGLE_CLOUD_PROJECT": "our-project",
}
_VERTEX = "https://aiplatform.googleapis.com/v1/projects/our-project/locations/global"
COUNT = f"{MESSAGES}/count_tokens"

DOORS: Mapping[tuple[str, str], tuple[str, tuple[str, str]]] = {
    ("huggingface", CHAT): ("https://router.huggingface.co/v1/chat/completions", BEARER),
    ("huggingface", RESPONSES): ("https://router.huggingface.co/v1/responses", BEARER),
    ("groq", CHAT): ("https://api.groq.com/openai/v1/chat/completions", BEARER),
    ("groq", RESPONSES): ("https://api.groq.com/openai/v1/responses", BEARER),
    ("deepseek", CHAT): ("https://api.deepseek.com/v1/chat/completions", BEARER),
    ("deepseek", MESSAGES): ("https://api.deepseek.com/anthropic/v1/messages", BEARER),
    ("deepseek", COUNT): ("https://api.deepseek.com/anthropic/v1/messages/count_tokens", BEARER),
    ("mistral", CHAT): ("https://api.mistral.ai/v1/chat/completions", BEARER),
    ("moonshot", CHAT): ("https://api.moonshot.ai/v1/chat/completions", BEARER),
    ("moonshot", MESSAGES): ("https://api.moonshot.ai/anthropic/v1/messages", BEARER),
    ("zai", CHAT): ("https://api.z.ai/api/paas/v4/chat/completions", BEARER),
    ("zai", MESSAGES): ("https://api.z.ai/api/anthropic/v1/messages", BEARER),
    ("xai", RESPONSES): ("https://api.x.ai/v1/responses", BEARER),
    ("xai", CHAT): ("https://api.x.ai/v1/chat/completions", BEARER),
    ("together", CHAT): ("https://api.together.ai/v1/chat/completions", BEARER),
    ("azure_openai", RESPONSES): (
        "https://our-lab.openai.azure.com/openai/v1/responses?api-version=v1",
        ("api-key", KEY),
    ),
    ("azure_openai", CHAT): (
        "https://our-lab.openai.azure.com/openai/v1/chat/completions?api-version=v1",
        ("api-key", KEY),
    ),
    ("bedrock", CHAT): ("https://bedrock-mantle.eu-west-1.api.aws/v1/chat/completions", BEARER),
    ("bedrock", RESPONSES): ("https://bedrock-mantle.eu-west-1.api.aws/v1/responses", BEARER),
    ("bedrock_anthropic", MESSAGES): ("https://bedrock-mantle.eu-west-1.api.aws/anthropic/v1/messages", BEARER),
    ("vertex", CHAT): (f"{_VERTEX}/endpoints/openapi/chat/completions", BEARER),
    ("vertex_anthropic", MESSAGES): (f"{_VERTEX}/publishers/anthropic/models/demo:rawPredict", BEARER),
    ("vertex_anthropic", COUNT): (f"{_VERTEX}/publishers/anthropic/models/count-tokens:rawPredict", BEARER),
    ("vertex_google", GOOGLE): (
        f"{_VERTEX}/publishers/google/models/demo:generateContent",
        BEARER,
    ),
}
"""For each provider and path of a CLI: the address of its service, and the header that shows who asks."""

BILLED = ("deepseek", "bedrock_claude", "vertex_gemini")
PAID_FOR = {"anthropic", "openai", "google", "openrouter", "claude_subscription", "chatgpt_subscription"}
"""Remote providers that other tests cover."""


@pytest.fixture(scope="module")
def providers() -> dict[str, ProviderConf]:
    return load_providers(CONF)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, providers: dict[str, ProviderConf]) -> pytest.MonkeyPatch:
    """A host with the key and the variables of every provider."""
    for variable, value in HOST.items():
        monkeypatch.setenv(variable, value)
    for provider in providers.values():
        if provider.key_variable:
            monkeypatch.setenv(provider.key_variable, KEY)
    return monkeypatch


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    with Upstream(None, ScriptedProvider(Script((ScriptedTurn(text="Hello."),)))) as upstream:
        yield upstream


def call(path: str, *, stream: bool = False, model: str = "demo") -> Call:
    place, _, query = path.partition("?")
    body: dict[str, Any] = conversation(MESSAGES if place == COUNT else place, 1, stream=stream, model=model)
    place = address(place, stream=stream, model=model)
    path = f"{place}?{query}" if query else place
    found = route(place.partition("?")[0])
    assert found is not None
    raw = json.dumps(body).encode()
    return Call(request=found.wire.parse(raw, path), wire=found.wire, path=path, headers={}, body=raw)


def received(service: Upstream, door: Door, credential: Credential, asked: Call) -> Received:
    """Return a request as the service received it."""

    async def ask() -> Answer:
        async with Forwarder(door, credential) as forwarder:
            answer = await forwarder.answer(asked)
            assert [chunk async for chunk in answer.chunks]
            return answer

    with service.behaving(body=b'{"usage": {}}'):
        asyncio.run(ask())
        [came] = service.requests
        return came


def test_every_packaged_service_is_in_the_table(providers: dict[str, ProviderConf]) -> None:
    remote = {name for name, provider in providers.items() if provider.kind == "remote"}
    assert remote == PAID_FOR | {provider for provider, _ in DOORS}
    for name in remote:
        PROVIDERS["remote"].check(ModelConf("m", name), providers[name])


def test_every_packaged_model_of_a_service_that_bills_has_a_price() -> None:
    config = load(CONF, "default", [f"suite.models=[{','.join(BILLED)}]", "suite.backends=[claude, pi]"])
    for name in BILLED:
        model = config.model[name]
        assert pricing(model, config.provider[model.provider]) is not None, name


@pytest.mark.parametrize(("provider", "path"), DOORS)
def test_a_request_goes_to_the_address_of_its_wire_with_the_key(
    providers: dict[str, ProviderConf], host: pytest.MonkeyPatch, service: Upstream, provider: str, path: str
) -> None:
    conf = providers[provider]
    where, (header, value) = DOORS[provider, path]
    door = door_of(conf)
    asked = call(path)
    assert door.address(asked) == where
    assert asked.wire.NAME in conf.wires
    credential = Credential(KEY) if conf.signing and conf.signing.kind == "google" else credential_of(conf)
    here = msgspec.structs.replace(door, base_url=service.url + urlsplit(door.base_url).path)
    came = received(service, here, credential, asked)
    assert came.path == where.removeprefix(f"https://{urlsplit(where).hostname}")
    assert came.headers[header] == value
    assert [name for name, said in came.headers.items() if KEY in said] == [header]


def test_claude_in_vertex_has_its_model_in_the_path_and_a_version_in_the_body(
    providers: dict[str, ProviderConf], host: pytest.MonkeyPatch, service: Upstream
) -> None:
    door = door_of(providers["vertex_anthropic"])
    here = msgspec.structs.replace(door, base_url=service.url)
    asked = call(f"{MESSAGES}?beta=true", stream=True, model="claude-sonnet-4-5@20250929")
    came = received(service, here, Credential(KEY), asked)
    assert came.path.endswith("/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict")
    body = json.loads(asked.body)
    del body["model"]
    assert came.json == body | {"anthropic_version": "vertex-2023-10-16"}
    counted = received(service, here, Credential(KEY), call(COUNT))
    assert counted.json["model"] == "demo"
    assert counted.json["anthropic_version"] == "vertex-2023-10-16"


def test_a_host_that_lacks_something_skips_the_case_and_says_what(
    monkeypatch: pytest.MonkeyPatch, providers: dict[str, ProviderConf]
) -> None:
    [case, *_] = cases(load(CONF, "default", ["suite.models=[openrouter_qwen_coder]", "suite.backends=[pi]"]))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in sorted({provider for provider, _ in DOORS}):
        for variable in (*HOST, providers[name].key_variable or ""):
            monkeypatch.delenv(variable, raising=False)
        with pytest.raises(ServerMissing) as missing:
            remote_server(msgspec.structs.replace(case, provider=providers[name]))
        assert re.search(r"set [A-Z_]+|needs the extra \w+: run|needs the variable [A-Z_]+", str(missing.value))


@given(st.text(max_size=40))
def test_a_variable_changes_only_its_own_part_of_an_address(value: str) -> None:
    provider = ProviderConf("ours", "remote", [], base_url="https://{OUR_NAME}.example.org/{OUR_NAME}/x")
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv("OUR_NAME", value)
        except ValueError:  # no variable can hold it
            return
        try:
            address = urlsplit(filled(provider, str(provider.base_url)))
        except VariableMissing:
            return
    assert (address.hostname or "").removesuffix(".example.org") == value.strip().lower()
    assert (address.path, address.query, address.fragment) == (f"/{value.strip()}/x", "", "")
    assert address.username is None


@given(st.text(min_size=1, max_size=30).filter(lambda text: not re.search(r"[\x00-\x1f\x7f]", text)))
def test_a_models_name_stays_one_part_of_the_path(model: str) -> None:
    door = Door("https://example.org", {"anthropic_messages": "/models/{model}:{method}"})
    found = urlsplit(door.address(call(MESSAGES, model=model)))
    assert found.hostname == "example.org"
    assert found.path.count("/") == 2
    assert found.path.endswith(":rawPredict")
    assert (found.query, found.fragment) == ("", "")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"paths": {"openai_chat": "v1/chat"}}, "paths.openai_chat: v1/chat must begin with /"),
        ({"signing": {"kind": "aws", "service": "bedrock"}}, "kind aws needs a service and a region"),
        ({"signing": {"kind": "claude"}}, "signing.token_url: a subscription needs the https address"),
        ({"signing": {"kind": "claude", "token_url": "http://example.org"}}, "signing.token_url"),
    ],
)
def test_a_wrong_service_is_refused_before_anything_runs(changed: dict[str, Any], said: str) -> None:
    plain = {"name": "ours", "kind": "remote", "wires": ["openai_chat"], "base_url": "https://example.org"}
    provider = msgspec.convert(plain | changed, ProviderConf)
    with pytest.raises(ConfError, match=re.escape(said)) as refused:
        PROVIDERS["remote"].check(ModelConf("m", "ours"), provider)
    assert "conf/provider/ours.yaml: provider.ours." in str(refused.value)


def test_a_library_that_is_missing_is_named_with_its_extra(
    providers: dict[str, ProviderConf], host: pytest.MonkeyPatch
) -> None:
    host.delenv("AWS_BEARER_TOKEN_BEDROCK")
    host.setitem(sys.modules, "botocore.session", None)
    host.setitem(sys.modules, "google.auth", None)
    with pytest.raises(CredentialMissing, match="needs the extra bedrock to sign its requests: run `proctor setup"):
        credential_of(providers["bedrock"])
    with pytest.raises(CredentialMissing, match="provider vertex needs the extra vertex: run `proctor setup"):
        credential_of(providers["vertex"])
