"""Real CLIs with a model behind TLS: requests pass through the sandbox, the gateway and its forwarder."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backends.registry import backend, names
from harness.agent.attempt import AttemptResult, run_attempt
from harness.agent.cli import find_cli
from harness.agent.reconcile import reconcile
from harness.agent.setup import SessionSetup
from harness.case import BackendConf, Case, Limits, ModelConf, ProviderConf, SandboxConf
from harness.case_folder import CaseFolder
from harness.endings import Ending
from harness.environment_conf import TOOLS, EnvironmentConf
from harness.environments.factory import make_environment
from harness.gateway.budget import Budget
from harness.gateway.messages import TokenCounts
from harness.gateway.script import Fail, Script, ScriptedCall, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.server import Gateway
from harness.grading import EvaluationConf
from harness.http_host import HttpHost
from harness.mcp.server import McpServer
from harness.models.forwarding import remote_server
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import make_sandbox
from harness.sandbox.filesystem import WORKSPACE
from tests.support.cases import PROMPT
from tests.support.played import each
from tests.support.stand_in_upstream import Certificate, Upstream

KEY = "sk-host-0123456789"
SANDBOX = SandboxConf("bubblewrap", "bubblewrap")
MAZE = EnvironmentConf("small_maze", "maze", {"min_size": 3, "max_size": 3})
USAGE = TokenCounts(input_tokens=700, output_tokens=20, cache_read_tokens=300)
SCRIPT = Script(
    (
        ScriptedTurn(text="I look around.", calls=(ScriptedCall(run="env"),), usage=USAGE),
        ScriptedTurn(calls=(ScriptedCall(write="approach.py", content="x = 1\n"),), usage=USAGE),
        ScriptedTurn(text="Done.", usage=USAGE),
    )
)
REFUSED = Script((ScriptedTurn(fail=Fail(status=401, message=f"the key {KEY} is not valid")),))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def host() -> Iterator[HttpHost]:
    with HttpHost() as host:
        yield host


def play(
    folder: Path, host: HttpHost, certificate: Certificate, script: Script, name: str, wire: str
) -> tuple[AttemptResult, Upstream]:
    """Run the real CLI with a model that the stand-in serves over TLS on this wire."""
    with Upstream(certificate, ScriptedProvider(script), WORKSPACE) as upstream:
        return ask(upstream.url, folder, host, certificate, name, wire), upstream


def ask(url: str, folder: Path, host: HttpHost, certificate: Certificate, name: str, wire: str) -> AttemptResult:
    """Run the real CLI with the service at this address."""
    dirs = SandboxDirs(make_sandbox(SANDBOX), CaseFolder(folder))
    with pytest.MonkeyPatch.context() as variables, closing(make_environment(MAZE)) as environment:
        variables.setenv("SSL_CERT_FILE", str(certificate.authority_file))
        variables.setenv("STAND_IN_KEY", KEY)
        provider = ProviderConf(
            "stand_in", "remote", wires=[], base_url=url, key_variable="STAND_IN_KEY", key_header="x-api-key"
        )
        case = Case(
            id=f"{name}-{wire}",
            backend=BackendConf(name),
            model=ModelConf("served", "stand_in", served_as="maker/served-5"),
            provider=provider,
            wire=wire,
            environment=MAZE,
            prompt=PROMPT,
            sandbox=SANDBOX,
            limits=Limits(turns=10, wall_s=120, failed_requests=2),
            evaluation=EvaluationConf(),
        )

        def no_policy(_folder: str) -> Any:
            raise NotImplementedError

        return run_attempt(
            SessionSetup(
                case=case,
                backend=backend(name),
                cli=find_cli(backend(name)),
                dirs=dirs,
                budget=Budget.within(case.limits),
                gateway=Gateway(host),
                model_server=remote_server(case),
                mcp=McpServer(environment, TOOLS, folder / "renders", no_policy, (NotImplementedError,), host),
                progress=lambda _: None,
            ),
            "Play your part.",
        )


def check(folder: Path, result: AttemptResult, upstream: Upstream, name: str) -> None:
    assert (result.ending, result.explanation) == (Ending.FINISHED, "the agent ended its session")
    totals = result.metered
    assert (totals.turns, totals.input_tokens, totals.output_tokens, totals.cache_read_tokens) == (3, 2100, 60, 900)
    differences = reconcile(result.session, totals, quirks=backend(name).quirks, stopped=False)
    assert [one for one in differences if one.explained is None] == []
    assert (folder / "workspace/approach.py").read_text() == "x = 1\n"
    assert {request.headers["x-api-key"] for request in upstream.requests} == {KEY}
    assert "sealed" not in str([request.headers for request in upstream.requests])


def check_that_the_key_is_nowhere(folder: Path) -> None:
    for file in folder.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(("name", "wire"), [("claude", "anthropic_messages"), ("opencode", "google_generate")])
def test_a_session_runs_with_a_service_behind_tls(
    tmp_path: Path, host: HttpHost, certificate: Certificate, name: str, wire: str
) -> None:
    result, upstream = play(tmp_path, host, certificate, SCRIPT, name, wire)
    check(tmp_path, result, upstream, name)
    check_that_the_key_is_nowhere(tmp_path)


def test_a_service_that_refuses_and_quotes_the_key_reveals_it_to_nobody(
    tmp_path: Path, host: HttpHost, certificate: Certificate
) -> None:
    result, _ = play(tmp_path, host, certificate, REFUSED, "claude", "anthropic_messages")
    assert result.ending == Ending.AUTH_FAILED
    assert KEY not in result.explanation
    check_that_the_key_is_nowhere(tmp_path)


@pytest.mark.parametrize("name", each())
def test_a_service_that_is_gone_ends_the_session_at_once_whatever_the_cli_would_do(
    tmp_path: Path, host: HttpHost, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("harness.gateway.forward.PAUSES_S", (0.1,))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    wire = backend(name).capabilities.wires[0]
    result = ask(f"https://127.0.0.1:{port}", tmp_path, host, certificate, name, wire)
    assert (result.ending, result.metered.turns) == (Ending.MODEL_UNREACHABLE, 0)
    assert f"the model service at 127.0.0.1:{port} cannot be reached: " in result.explanation
    assert result.metered.requests <= 2, "the CLI's own retries are cut short"
    assert result.agent_s < 15


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "wire"), [(name, wire) for name in names() for wire in backend(name).capabilities.wires]
)
def test_every_backend_works_over_every_wire_that_it_speaks(
    tmp_path: Path, host: HttpHost, certificate: Certificate, name: str, wire: str
) -> None:
    result, upstream = play(tmp_path, host, certificate, SCRIPT, name, wire)
    check(tmp_path, result, upstream, name)
