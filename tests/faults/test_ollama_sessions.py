"""Real CLIs with a model that Ollama serves, through the real gateway; and what happens when Ollama fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backends.registry import backend as backend_named
from harness import pipeline
from harness.agent.attempt import AttemptResult, run_attempt
from harness.agent.cli import find_cli
from harness.agent.setup import SessionSetup
from harness.case import BackendConf, Case, Limits, ModelConf
from harness.endings import Ending
from harness.environments.factory import make_environment
from harness.gateway.budget import Budget
from harness.gateway.forward import Forwarder
from harness.gateway.server import Gateway
from harness.grading import EvaluationConf
from harness.models.model_server import ModelServer
from harness.servers.acquire import Lease
from tests.support.cases import PROMPT
from tests.support.serving import MODEL, OLLAMA, Machine
from tests.support.sessions import MAZE, SANDBOX, Stage, ignore

LIMITS = Limits(turns=20, wall_s=240, idle_s=60, first_byte_s=30, stalled_s=30, failed_requests=2)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch, gpus=1)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


def attempt(stage: Stage, lease: Lease, backend: str, folder: Path) -> AttemptResult:
    """Play one session of the backend's CLI, in a new folder."""
    cli = backend_named(backend)
    dirs = stage.dirs(folder)
    case = Case(
        id=folder.name,
        backend=BackendConf(backend),
        model=ModelConf("qwen", "ollama", served_as=MODEL),
        provider=OLLAMA,
        wire=next(wire for wire in OLLAMA.wires if wire in cli.capabilities.wires),
        environment=MAZE,
        prompt=PROMPT,
        sandbox=SANDBOX,
        limits=LIMITS,
        evaluation=EvaluationConf(),
    )
    with closing(make_environment(MAZE)) as environment:
        return run_attempt(
            SessionSetup(
                case=case,
                backend=cli,
                cli=find_cli(cli),
                dirs=dirs,
                budget=Budget.within(case.limits),
                gateway=Gateway(stage._host),
                model_server=ModelServer("qwen", lambda: Forwarder(lease.url), lease.facts.digest),
                mcp=pipeline.mcp_config(MAZE, environment, dirs, stage._host),
                progress=ignore,
            ),
            "Solve the maze.",
        )


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["claude", "opencode"])
def test_a_session_is_played_to_its_end_and_metered(
    stage: Stage, machine: Machine, tmp_path: Path, backend: str
) -> None:
    with machine.acquire() as lease:
        result = attempt(stage, lease, backend, tmp_path / "session")
        assert (result.ending, result.explanation) == (Ending.FINISHED, result.explanation)
        assert lease.warnings() == []
    assert (tmp_path / "session/workspace/approach.py").is_file()
    assert result.metered.turns == result.session.turns
    assert result.metered.input_tokens > 1000
    assert machine.is_clean()


def test_a_crash_in_the_middle_is_a_model_error_and_the_next_attempt_finds_it_restarted(
    stage: Stage, machine: Machine, tmp_path: Path
) -> None:
    machine.ollama.turn(crash_at=[2])
    with machine.acquire() as lease:
        first = attempt(stage, lease, "claude", tmp_path / "first")
        assert first.ending in {Ending.MODEL_ERROR, Ending.MODEL_UNREACHABLE}
        lease.ensure_ready()
        assert attempt(stage, lease, "claude", tmp_path / "second").ending is Ending.FINISHED
    assert [event for event, _ in machine.journal] == ["loaded", "crashed", "loaded", "stopped"]
    assert machine.is_clean()


@pytest.mark.nightly
def test_a_full_queue_is_a_model_error(stage: Stage, machine: Machine, tmp_path: Path) -> None:
    with machine.acquire() as lease:
        machine.ollama.turn(busy=1000)
        result = attempt(stage, lease, "claude", tmp_path / "session")
        assert result.ending in {Ending.MODEL_ERROR, Ending.MODEL_UNREACHABLE}
        assert "server busy" in result.explanation
