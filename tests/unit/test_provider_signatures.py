"""Signatures of cloud services, by their own libraries, as a service on this machine receives them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.case import ProviderConf
from harness.gateway.credential import Credential, CredentialMissing
from harness.gateway.doors import door_of
from harness.gateway.forward import Forwarder
from harness.gateway.provider import AnswerError, Call
from harness.gateway.routes import route
from harness.gateway.script import Script, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.signing import credential_of
from harness.suite.config import load_providers
from tests.support.gateway_client import CHAT, MESSAGES, conversation
from tests.support.project import CONF
from tests.support.stand_in_upstream import Received, Upstream

pytestmark = pytest.mark.nightly  # `make nightly` installs the extras
SECRET, SESSION = "aws-secret-0123456789", "aws-session-0123456789"


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    with Upstream(None, ScriptedProvider(Script((ScriptedTurn(text="Hello."),)))) as upstream:
        yield upstream


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch, service: Upstream) -> dict[str, ProviderConf]:
    """The packaged providers, whose services are here."""
    for variable in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0123456789")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "our-project")
    return load_providers(CONF)


async def _answer(provider: ProviderConf, credential: Credential, service: Upstream, path: str) -> bytes:
    """Send a request to the service here. Return what the gateway passes on of its answer."""
    found = route(path)
    assert found is not None
    body = json.dumps(conversation(path, 1, stream=False) | {"model": "a model/ä:0"}).encode()
    call = Call(request=found.wire.parse(body, path), wire=found.wire, path=path, headers={}, body=body)
    door = door_of(provider)
    here = msgspec.structs.replace(door, base_url=service.url + urlsplit(door.base_url).path)
    async with Forwarder(here, credential) as forwarder:
        answer = await forwarder.answer(call)
        return b"".join([chunk async for chunk in answer.chunks])


@pytest.mark.parametrize(("name", "path"), [("bedrock", CHAT), ("bedrock_anthropic", MESSAGES)])
def test_the_signature_fits_the_request_that_arrives(
    conf: dict[str, ProviderConf], service: Upstream, name: str, path: str
) -> None:
    pytest.importorskip("botocore")
    with service.behaving(body=f"{{'quoted': '{SECRET} {SESSION}'}}".encode()):
        said = asyncio.run(_answer(conf[name], credential_of(conf[name]), service, path))
        [came] = service.requests
    assert came.headers["authorization"] == _signature(came, "eu-west-1", "bedrock-mantle")
    assert came.headers["x-amz-security-token"] == SESSION
    assert SECRET not in str(came.headers)
    assert SECRET.encode() not in said
    assert SESSION.encode() not in said


def test_a_host_without_aws_credentials_is_told_what_to_set(
    conf: dict[str, ProviderConf], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("botocore")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/none")
    with pytest.raises(CredentialMissing, match="set AWS_BEARER_TOKEN_BEDROCK, or set AWS_ACCESS_KEY_ID"):
        credential_of(conf["bedrock"])
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialMissing, match="nobody"):
        credential_of(conf["bedrock"])


def test_vertex_gets_the_token_of_the_default_credentials(
    conf: dict[str, ProviderConf], service: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("google.auth")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "us@example.org", "private_key": pem}
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account | {"token_uri": f"{service.url}/token", "project_id": "our-project"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    answer = b'{"access_token": "ya29.token-0123456789", "expires_in": 3600, "token_type": "Bearer"}'
    with service.behaving(body=answer):
        said = asyncio.run(_answer(conf["vertex"], credential_of(conf["vertex"]), service, CHAT))
        token, came = service.requests
    assert token.path == "/token"
    assert came.headers["authorization"] == "Bearer ya29.token-0123456789"
    assert b"ya29" not in said
    with (
        service.behaving(body=b'{"error": "invalid_grant"}', status=400),
        pytest.raises(AnswerError, match="authentication failed: the Google Cloud credentials") as refused,
    ):
        asyncio.run(_answer(conf["vertex"], credential_of(conf["vertex"]), service, CHAT))
    assert refused.value.status == 401


def _signature(came: Received, region: str, service: str) -> str:
    """Return the `authorization` of a request by Signature Version 4, worked out from AWS's description of it."""
    parts = urlsplit(came.path)
    said = came.headers["authorization"]
    signed = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "content-type", "x-amz-date", "x-amz-security-token"} <= set(signed)
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    canonical = "\n".join(
        [
            "POST",
            quote(parts.path, safe="/-_.~"),
            "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query),
            *(f"{name}:{came.headers[name].strip()}" for name in signed),
            "",
            ";".join(signed),
            hashlib.sha256(came.body).hexdigest(),
        ]
    )
    at = came.headers["x-amz-date"]
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    mac = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return f"AWS4-HMAC-SHA256 Credential=AKIA0123456789/{scope}, SignedHeaders={';'.join(signed)}, Signature={mac}"
