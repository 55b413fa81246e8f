"""The tokens of subscriptions, in the host's environment and login files, reach their service and nothing else."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from harness.cache import user_cache
from harness.endings import Ending
from harness.gateway.messages import TokenCounts
from harness.gateway.script import Script, ScriptedCall, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.results.record import Record
from harness.sandbox.filesystem import WORKSPACE
from tests.support.project import Project
from tests.support.stand_in_upstream import Received, Upstream

TOKENS = {
    name: f"canary-{name}-0123456789"
    for name in ("variable", "file", "file-refresh", "old", "old-refresh", "new", "new-refresh", "id")
}
LOOK = (
    "env; cat ~/.claude/.credentials.json ~/.codex/auth.json {folder}/claude/.credentials.json {folder}/codex/*; "
    "cat /proc/*/environ /proc/*/cmdline; ls -a ~ {folder}; true"
)
USAGE = TokenCounts(input_tokens=700, output_tokens=20)


class Paid(Struct, frozen=True):
    """A run of two sessions, each paid by a subscription: what the services received, and what the run left."""

    folder: Path
    requests: list[Received]
    records: Mapping[str, Record]
    output: str


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paid]:
    host = tmp_path_factory.mktemp("host")
    script = Script(
        (
            ScriptedTurn(calls=(ScriptedCall(run=LOOK.format(folder=host)),), usage=USAGE),
            ScriptedTurn(text="I hand in nothing.", usage=USAGE),
        )
    )
    renewal = {"access_token": TOKENS["new"], "refresh_token": TOKENS["new-refresh"], "id_token": TOKENS["id"]}
    quota = {"anthropic-ratelimit-unified-5h-utilization": "0.5", "x-codex-primary-used-percent": "25"}
    with Upstream(None, ScriptedProvider(script), WORKSPACE) as service, pytest.MonkeyPatch.context() as variables:
        _log_in(host, variables)
        project = Project(tmp_path_factory.mktemp("project"))
        _write(project, service.url)
        with service.behaving(at={"/token": json.dumps(renewal).encode()}, headers=quota):
            done = project.pytest("--suite", "paid", "--require-all")
            yield Paid(project.folder, list(service.requests), project.records, done.stdout + done.stderr)


def _log_in(host: Path, variables: pytest.MonkeyPatch) -> None:
    """Log in to both subscriptions: Claude's also by a variable, and ChatGPT's with a token that has ended."""
    cache = host / "cache/proctor"
    cache.mkdir(parents=True)
    (cache / "clis").symlink_to(user_cache() / "clis")
    for variable, folder in (("CLAUDE_CONFIG_DIR", "claude"), ("CODEX_HOME", "codex")):
        (host / folder).mkdir()
        variables.setenv(variable, str(host / folder))
    variables.setenv("XDG_CACHE_HOME", str(host / "cache"))
    variables.setenv("CLAUDE_CODE_OAUTH_TOKEN", TOKENS["variable"])
    variables.setenv("PROCTOR_SEED", "7" * 64)
    claude = {"accessToken": TOKENS["file"], "refreshToken": TOKENS["file-refresh"]}
    (host / "claude/.credentials.json").write_text(json.dumps({"claudeAiOauth": claude | {"expiresAt": 1}}))
    # Codex's access tokens say when they end, and this form has no room for a canary. So the service refuses it once.
    tokens = {"access_token": TOKENS["old"], "refresh_token": TOKENS["old-refresh"], "id_token": TOKENS["id"]}
    (host / "codex/auth.json").write_text(json.dumps({"tokens": tokens | {"account_id": "acc"}}))


def _write(project: Project, url: str) -> None:
    for name, wire, kind, model, served in (
        ("claude_subscription", "anthropic_messages", "claude", "sonnet", "claude-sonnet-5-5"),
        ("chatgpt_subscription", "openai_responses", "chatgpt", "gpt", "served-5"),
    ):
        project.write(
            f"conf/provider/{name}.yaml",
            f"name: {name}\nkind: remote\nbase_url: {url}\nwires: [{wire}]\n"
            f"signing: {{kind: {kind}, token_url: '{url}/token'}}\n",
        )
        project.write(f"conf/model/{model}.yaml", f"name: {model}\nprovider: {name}\nserved_as: {served}\n")
    exclude = "exclude: [{backend: claude, model: gpt}, {backend: codex, model: sonnet}]\n"
    project.write(
        "conf/suite/paid.yaml",
        "name: paid\nbackends: [claude, codex]\nmodels: [sonnet, gpt]\nenvironments: [small_maze]\n" + exclude,
    )


def test_both_sessions_end_well_and_their_services_get_the_tokens(paid: Paid) -> None:
    endings = {case: record.ending for case, record in paid.records.items()}
    assert endings == {"claude-sonnet-small_maze": Ending.FINISHED, "codex-gpt-small_maze": Ending.FINISHED}, (
        paid.output
    )
    asked = {request.path.partition("?")[0]: request.headers["authorization"] for request in paid.requests}
    assert asked["/v1/messages"] == f"Bearer {TOKENS['variable']}"
    assert asked["/v1/responses"] == f"Bearer {TOKENS['old']}"


def test_no_token_is_in_any_box(paid: Paid) -> None:
    shown = [request.body for request in paid.requests if b"PATH=" in request.body]
    assert len(shown) == 2, "each agent has looked around and sent what it saw"
    for request in paid.requests:
        for name, token in TOKENS.items():
            assert token.encode() not in request.body, (name, request.path)


def test_no_token_is_in_any_byte_of_the_run(paid: Paid) -> None:
    looked = 0
    for file in (paid.folder / "runs").rglob("*"):
        if not file.is_file() or file.is_symlink():
            continue
        data = file.read_bytes()
        if file.suffix == ".gz":
            data += gzip.decompress(data)
        looked += 1
        for name, token in TOKENS.items():
            assert token.encode() not in data, (name, file)
    assert looked > 20
    for token in TOKENS.values():
        assert token not in paid.output


def test_the_records_have_no_cost_but_the_quota(paid: Paid) -> None:
    for record in paid.records.values():
        assert record.usage.metered is not None
        assert record.usage.metered.cost_usd is None
        assert record.usage.metered.input_tokens == 1400
        assert {window.used for window in record.attempts[-1].quota or []} == {0.5, 0.25}
