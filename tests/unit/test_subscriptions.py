"""Subscriptions: whose login pays, how it is renewed, who may use it, and where its tokens never appear."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agent.watchdog import failed
from harness.budget_conf import BudgetConf
from harness.case import ModelConf, Price, ProviderConf
from harness.endings import ConfError, Ending
from harness.gateway.credential import Credential, CredentialMissing, Unsigned
from harness.gateway.doors import door_of
from harness.gateway.forward import Forwarder
from harness.gateway.ledger import RequestFailure
from harness.gateway.prices import pricing
from harness.gateway.provider import AnswerError, Call, Unreachable
from harness.gateway.routes import route
from harness.gateway.script import Script, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.subscription import SubscriptionCredential
from harness.logins import PLACES, login_secrets, read_login
from harness.models.checks import check_budgets, check_prices
from harness.quota import QuotaWindow, quota
from harness.signing_conf import Subscription
from harness.suite.config import load, load_providers
from harness.suite.matrix import cases
from tests.support.gateway_client import MESSAGES, RESPONSES, conversation
from tests.support.project import CONF
from tests.support.stand_in_upstream import Upstream

NOW = 1_790_000_000.0
PAID: Mapping[Subscription, tuple[str, str]] = {
    "claude": ("claude_subscription", MESSAGES),
    "chatgpt": ("chatgpt_subscription", RESPONSES),
}
BOTH = pytest.mark.parametrize("kind", PAID)


def jwt(name: str, end: float) -> str:
    """Return a token in the form of a JSON Web Token that ends then."""
    part = base64.urlsafe_b64encode(json.dumps({"exp": int(end), "name": name}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{part}.signature-{name}"


def document(kind: Subscription, name: str, end: float) -> dict[str, Any]:
    """Return the content of a login file, with fields that the gateway does not know."""
    if kind == "claude":
        kept = {"accessToken": f"sk-ant-oat01-{name}-0123456789", "refreshToken": f"sk-ant-ort01-{name}-0123456789"}
        return {"claudeAiOauth": kept | {"expiresAt": int(end * 1000), "subscriptionType": "max"}, "mcpOAuth": {"a": 1}}
    tokens = {
        "access_token": jwt(name, end),
        "refresh_token": f"rt-{name}-0123456789",
        "id_token": jwt(f"id-{name}", end),
    }
    return {"OPENAI_API_KEY": None, "tokens": tokens | {"account_id": "acc-7"}, "last_refresh": "2026-11-01T00:00:00Z"}


def renewal(kind: Subscription, name: str, end: float) -> bytes:
    found = document(kind, name, end)
    if kind == "claude":
        kept = found["claudeAiOauth"]
        answer = {"access_token": kept["accessToken"], "refresh_token": kept["refreshToken"], "expires_in": end - NOW}
    else:
        answer = {key: found["tokens"][key] for key in ("access_token", "refresh_token", "id_token")}
    return json.dumps(answer).encode()


class Host:
    """A host with logins, whose services are here. `file(kind)` is the file of a login."""

    def __init__(self, home: Path, service: Upstream) -> None:
        self.home = home
        self.service = service

    def file(self, kind: Subscription) -> Path:
        return self.home / {"claude": ".claude/.credentials.json", "chatgpt": ".codex/auth.json"}[kind]

    def log_in(self, kind: Subscription, name: str = "first", end: float = NOW + 9000) -> None:
        self.file(kind).parent.mkdir(exist_ok=True)
        self.file(kind).write_text(json.dumps(document(kind, name, end)))

    def credential(self, kind: Subscription) -> SubscriptionCredential:
        return SubscriptionCredential(kind, f"{self.service.url}/token", lambda: NOW)

    def ask(self, kind: Subscription, credential: Credential) -> tuple[int, bytes]:
        """Send a request to the subscription's service. Return the status and the body that the gateway passes on."""
        name, path = PAID[kind]
        door = door_of(PROVIDERS[name])
        here = msgspec.structs.replace(door, base_url=self.service.url + urlsplit(door.base_url).path)
        found = route(path)
        assert found is not None
        body = json.dumps(conversation(path, 1, stream=False)).encode()
        headers = {"anthropic-beta": "claude-code-20250219"} if kind == "claude" else {"originator": "codex_exec"}
        call = Call(request=found.wire.parse(body, path), wire=found.wire, path=path, headers=headers, body=body)

        async def asked() -> tuple[int, bytes]:
            async with Forwarder(here, credential) as forwarder:
                answer = await forwarder.answer(call)
                return answer.status, b"".join([chunk async for chunk in answer.chunks])

        return asyncio.run(asked())


PROVIDERS: dict[str, ProviderConf] = load_providers(CONF)


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    with Upstream(None, ScriptedProvider(Script((ScriptedTurn(text="Hello."),)))) as upstream:
        yield upstream


@pytest.fixture
def host(tmp_path: Path, service: Upstream, monkeypatch: pytest.MonkeyPatch) -> Host:
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Host(tmp_path, service)


# What a request carries


def test_a_request_to_anthropic_carries_the_token_as_claude_code_does(host: Host) -> None:
    host.log_in("claude")
    with host.service.behaving(body=b"{}"):
        host.ask("claude", host.credential("claude"))
        [came] = host.service.requests
    assert came.path == MESSAGES
    assert came.headers["authorization"] == "Bearer sk-ant-oat01-first-0123456789"
    assert came.headers["anthropic-beta"] == "claude-code-20250219,oauth-2025-04-20"
    assert came.headers["x-app"] == "cli"
    assert "x-api-key" not in came.headers


def test_a_request_to_chatgpt_carries_the_token_and_the_account_as_codex_does(host: Host) -> None:
    host.log_in("chatgpt")
    with host.service.behaving(body=b"{}"):
        host.ask("chatgpt", host.credential("chatgpt"))
        [came] = host.service.requests
    assert came.path == "/backend-api/codex/responses"
    assert came.headers["authorization"] == f"Bearer {jwt('first', NOW + 9000)}"
    assert came.headers["chatgpt-account-id"] == "acc-7"
    assert came.headers["originator"] == "codex_exec"


def test_a_token_in_the_variable_wins_and_is_never_renewed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.log_in("claude", end=NOW - 1)
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", " sk-ant-oat01-variable-0123456789\n")
    with host.service.behaving(body=b'{"error": "no"}', status=401):
        status, _ = host.ask("claude", host.credential("claude"))
        [came] = host.service.requests
    assert status == 401
    assert came.headers["authorization"] == "Bearer sk-ant-oat01-variable-0123456789"


@BOTH
def test_an_answer_that_quotes_the_token_loses_it(host: Host, kind: Subscription) -> None:
    host.log_in(kind)
    token = read_login(kind).access
    with host.service.behaving(body=json.dumps({"said": token}).encode()):
        _, body = host.ask(kind, host.credential(kind))
    assert body == b'{"said": "[key]"}'


# Renewing


@BOTH
def test_a_token_that_ends_soon_is_renewed_and_written_back_for_its_owner_alone(host: Host, kind: Subscription) -> None:
    host.log_in(kind, end=NOW + 60)
    host.file(kind).chmod(0o644)
    with host.service.behaving(body=renewal(kind, "second", NOW + 28_800)):
        host.ask(kind, host.credential(kind))
        renewing, came = host.service.requests
    asked = renewing.json
    assert renewing.path == "/token"
    assert (asked["grant_type"], asked["client_id"]) == ("refresh_token", PLACES[kind].client_id)
    assert asked["refresh_token"] in str(document(kind, "first", 0))
    assert came.headers["authorization"] == f"Bearer {read_login(kind).access}"
    kept = json.loads(host.file(kind).read_text())
    wanted = document(kind, "second", NOW + 28_800)
    wanted |= {"last_refresh": kept["last_refresh"]} if kind == "chatgpt" else {}
    assert kept == wanted, "the rest of the file stays"
    assert stat.S_IMODE(host.file(kind).stat().st_mode) == 0o600
    assert [path.name for path in host.file(kind).parent.iterdir()] == [host.file(kind).name]


@BOTH
def test_workers_that_need_a_new_token_at_once_renew_it_once(host: Host, kind: Subscription) -> None:
    host.log_in(kind, end=NOW)
    unsigned = Unsigned("https://example.org", {}, b"")
    with host.service.behaving(body=renewal(kind, "second", NOW + 28_800)):
        workers = [host.credential(kind) for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda worker: asyncio.run(worker.signed(unsigned)), workers))
        assert len(host.service.requests) == 1
    assert len({headers["authorization"] for headers in found}) == 1


@BOTH
def test_a_token_that_the_service_refuses_is_renewed_once_and_asked_again(host: Host, kind: Subscription) -> None:
    host.log_in(kind)
    credential = host.credential(kind)
    refusing = {"status": 401, "body": b"{}", "at": {"/token": renewal(kind, "second", NOW + 28_800)}}
    with host.service.behaving(**refusing):
        status, _ = host.ask(kind, credential)
        paths = [came.path for came in host.service.requests]
    assert status == 401
    assert paths.count("/token") == 1
    assert len(paths) == 3, "asked, renewed, asked again"
    with host.service.behaving(**refusing):
        host.ask(kind, credential)
        assert len(host.service.requests) == 1, "not renewed again at once"


@BOTH
def test_a_login_that_another_program_renewed_is_read_again(host: Host, kind: Subscription) -> None:
    host.log_in(kind)
    credential = host.credential(kind)
    sent = asyncio.run(credential.signed(Unsigned("https://example.org", {}, b"")))
    host.log_in(kind, "by-the-cli")
    with host.service.behaving(body=b"{}"):
        assert asyncio.run(credential.renewed(sent))
        assert host.service.requests == []


@BOTH
@pytest.mark.parametrize(
    ("manner", "status", "said"),
    [
        (
            {"status": 400, "body": b'{"error": "sk-ant-ort01-first-0123456789"}'},
            401,
            "with 400",
        ),
        ({"status": 401, "body": b"{}"}, 401, "with 401"),
        ({"body": b'{"token": 1}'}, 401, "the service's answer has no token"),
        ({"body": b"<html>"}, 401, "the service's answer has no token"),
        ({"status": 503, "body": b"later"}, 503, "answers with 503"),
    ],
)
def test_a_login_that_cannot_be_renewed_is_a_clear_ending(
    host: Host, kind: Subscription, manner: Mapping[str, Any], status: int, said: str
) -> None:
    host.log_in(kind, end=NOW)
    before = host.file(kind).read_bytes()
    with host.service.behaving(**manner), pytest.raises(AnswerError, match=said) as refused:
        host.ask(kind, host.credential(kind))
    assert refused.value.status == status
    assert "0123456789" not in str(refused.value)
    assert host.file(kind).read_bytes() == before
    if status == 401:
        assert f"log in again with `{PLACES[kind].command}`" in str(refused.value)
        assert failed(RequestFailure(401, str(refused.value)), "it failed").ending is Ending.AUTH_FAILED


@BOTH
def test_a_token_that_has_not_ended_is_used_even_if_it_cannot_be_renewed(host: Host, kind: Subscription) -> None:
    host.log_in(kind, end=NOW + 60)
    credential = host.credential(kind)
    with host.service.behaving(body=b"{}", at={"/token": b"no JSON"}):
        assert [host.ask(kind, credential)[0], host.ask(kind, credential)[0]] == [200, 200]
        assert [came.path for came in host.service.requests].count("/token") == 1, "not tried with each request"


def test_a_login_service_that_cannot_be_reached_ends_as_unreachable(host: Host) -> None:
    host.log_in("claude", end=NOW)
    credential = SubscriptionCredential("claude", "http://127.0.0.1:9/token", lambda: NOW)
    with pytest.raises(Unreachable, match=r"login service at http://127\.0\.0\.1:9/token cannot be reached"):
        asyncio.run(credential.signed(Unsigned("https://example.org", {}, b"")))


@BOTH
def test_a_host_without_a_login_is_told_how_to_log_in(host: Host, kind: Subscription) -> None:
    with pytest.raises(CredentialMissing, match=f"log in with `{PLACES[kind].command}`"):
        host.credential(kind)


@BOTH
@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"tokens": 3, "claudeAiOauth": 3}', "\xff"])
def test_a_broken_login_file_is_named_and_not_quoted(host: Host, kind: Subscription, text: str) -> None:
    host.log_in(kind)
    host.file(kind).write_text(text, "latin-1")
    with pytest.raises(CredentialMissing, match="is not a login of") as missing:
        host.credential(kind)
    assert str(host.file(kind)) in str(missing.value)


@BOTH
def test_a_login_file_that_cannot_be_read_is_named_with_the_reason(host: Host, kind: Subscription) -> None:
    host.file(kind).mkdir(parents=True)
    with pytest.raises(CredentialMissing, match=f"{host.file(kind)}.* cannot be read: Is a directory"):
        host.credential(kind)


@BOTH
def test_a_token_with_a_line_break_is_refused(host: Host, kind: Subscription) -> None:
    host.log_in(kind)
    found = document(kind, "first", NOW)
    found["claudeAiOauth" if kind == "claude" else "tokens"] |= {"accessToken": "a\nevil", "access_token": "a\nevil"}
    host.file(kind).write_text(json.dumps(found))
    with pytest.raises(CredentialMissing, match="no usable token") as refused:
        host.credential(kind)
    assert "evil" not in str(refused.value)


@BOTH
def test_tokens_from_before_a_renewal_are_still_looked_for(host: Host, kind: Subscription) -> None:
    host.log_in(kind, f"old-{kind}")
    old = read_login(kind).tokens
    host.log_in(kind, f"new-{kind}")
    found = set(login_secrets(kind).values())
    assert {*old, *read_login(kind).tokens} <= found


# Who may use it, and what it costs


@pytest.mark.parametrize(
    ("model", "backend", "said"),
    [
        ("claude_sonnet_subscription", "opencode", "only in Claude Code"),
        ("claude_sonnet_subscription", "pi", "only in Claude Code"),
        ("gpt_subscription", "opencode", "only for Codex"),
    ],
)
def test_another_cli_is_refused_before_anything_runs(model: str, backend: str, said: str) -> None:
    config = load(CONF, "default", [f"suite.models=[{model}]", f"suite.backends=[{backend}]"])
    with pytest.raises(ConfError, match=said) as refused:
        cases(config)
    assert f"add to suite.exclude: {{backend: {backend}, model: {model}}}" in str(refused.value)


@pytest.mark.parametrize(
    ("model", "backend"), [("claude_sonnet_subscription", "claude"), ("gpt_subscription", "codex")]
)
def test_its_own_cli_may_use_it_without_a_cost_but_not_within_dollars(model: str, backend: str) -> None:
    own = [f"suite.models=[{model}]", f"suite.backends=[{backend}]"]
    [case, *_] = cases(load(CONF, "default", own))
    priced = ModelConf(model, case.provider.name, price=Price(1.0, 2.0))
    assert pricing(priced, case.provider) is None
    limits = msgspec.structs.replace(case.limits, cost_usd=1.0)
    with pytest.raises(ConfError, match="paid by a subscription"):
        check_prices([msgspec.structs.replace(case, limits=limits)])
    dollars = msgspec.structs.replace(case, budget=BudgetConf(cost_usd=1.0))
    with pytest.raises(ConfError, match="paid by a subscription"):
        check_budgets([dollars])


def test_the_quota_of_each_service_is_told_in_the_same_form() -> None:
    claude = {
        "anthropic-ratelimit-unified-status": "allowed",
        "anthropic-ratelimit-unified-5h-utilization": "0.42",
        "anthropic-ratelimit-unified-5h-reset": "1790003600",
        "anthropic-ratelimit-unified-7d-utilization": "1.02",
    }
    assert quota(claude) == [
        QuotaWindow(name="5h", used=0.42, resets_at="2026-09-21T15:13:20+00:00"),
        QuotaWindow(name="7d", used=1.02),
    ]
    chatgpt = {
        "x-codex-primary-used-percent": "12.5",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": "1790003600",
        "x-codex-secondary-used-percent": "7",
        "x-codex-secondary-window-minutes": "10080",
    }
    assert quota(chatgpt) == [
        QuotaWindow(name="5h", used=0.125, resets_at="2026-09-21T15:13:20+00:00"),
        QuotaWindow(name="7d", used=0.07),
    ]
    assert quota({"content-type": "text/plain"}) is None


HEADERS = (
    *("anthropic-ratelimit-unified-5h-utilization", "anthropic-ratelimit-unified-5h-reset"),
    *("x-codex-primary-used-percent", "x-codex-primary-window-minutes", "x-codex-primary-reset-at"),
)


@given(st.dictionaries(st.sampled_from(HEADERS), st.text() | st.floats().map(str)))
def test_no_header_of_a_service_breaks_the_quota(headers: dict[str, str]) -> None:
    for window in quota(headers) or []:
        assert 0 <= window.used < float("inf")
        assert len(window.name) < 40
