"""A failing agent kills its CLI, forges its output or wrecks its files. What it has handed in is graded anyway."""

from __future__ import annotations

import ctypes
import errno
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backends.registry import backend
from harness.agent import attempt
from harness.agent.driver import Progress
from harness.endings import Ending
from harness.gateway.script import Script
from harness.results.record import Record
from tests.support.project import Project
from tests.support.sessions import LIMITS, Play, Stage

LIMITED = json.dumps({"type": "result", "subtype": "success", "is_error": True, "result": "API Error: 429 rate limit"})

ATTACKS = {
    "forges": 'python3 -c \'open("/proc/2/mem", "r+b")\' && touch opened; '
    f"for fd in 1 2; do echo '{LIMITED}' > /proc/2/fd/$fd; done; kill -TERM 2",
    "wrecks": "rm -rf $HOME/.claude $HOME/.gitconfig; mkdir $HOME/.gitconfig; chmod 0 . $HOME; kill -9 2",
}
"""Commands of the agent. The CLI is process 2 of its sandbox."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The cases in which an agent writes a program, and then does the same thing again and again."""
    project = Project(tmp_path_factory.mktemp("unmade"))
    for name, command in ATTACKS.items():
        project.write(f"conf/model/{name}.yaml", f"name: {name}\nprovider: scripted\nscript: {name}\nprice: unknown\n")
        runs = ["echo policy > approach.py", *[command] * 4]
        turns = [*({"calls": [{"run": one}]} for one in runs), {"text": "Done."}]
        project.write(f"conf/scripts/{name}.yaml", json.dumps({"turns": turns}))
    models = ", ".join(ATTACKS)
    project.write(
        "conf/suite/unmade.yaml", f"name: unmade\nbackends: [claude]\nmodels: [{models}]\nenvironments: [small_maze]\n"
    )
    settings = {"evaluation.episodes": 1, "limits.retries": 1, "limits.retry_s": 0.1}
    project.pytest("--suite", "unmade", "-n", "2", *(f"--set={key}={value}" for key, value in settings.items()))
    return project


@pytest.fixture
def records(project: Project) -> dict[str, Record]:
    return {record.case.model: record for record in project.records.values()}


@pytest.mark.nightly
@pytest.mark.parametrize("name", ATTACKS)
def test_an_agent_that_breaks_its_cli_is_graded_and_its_usage_is_kept(records: dict[str, Record], name: str) -> None:
    record = records[name]
    assert [one.ending for one in record.attempts] == [Ending.CLI_CRASHED, Ending.CLI_BROKEN], record.explanation
    assert (record.ending, record.cause, record.outcome) == (Ending.CLI_BROKEN, "agent", "failed")
    assert record.score is not None
    assert record.submission is not None
    metered = record.usage.metered
    assert metered is not None
    assert metered.turns >= 2


@pytest.mark.nightly
def test_an_agent_cannot_write_to_the_stream_of_its_cli(project: Project, records: dict[str, Record]) -> None:
    folder = project.folder / "runs/latest" / str(records["forges"].artifacts)
    streams = [file.read_bytes() for file in folder.rglob("stream.jsonl")]
    assert len(streams) == 2
    assert not any(LIMITED.encode() in stream.splitlines() for stream in streams)


LANDLOCK_ABI = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)


@pytest.mark.nightly
@pytest.mark.skipif(LANDLOCK_ABI < 2, reason="this kernel has no Landlock: docs/security.md says what is weaker")
def test_an_agent_cannot_open_the_memory_of_its_cli(project: Project, records: dict[str, Record]) -> None:
    folder = project.folder / "runs/latest" / str(records["forges"].artifacts)
    listing = (folder / "workspace.txt").read_text()
    assert "approach.py" in listing
    assert "opened" not in listing


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


SCRIPT = msgspec.convert({"turns": [{"calls": [{"run": "echo trace > trace; sleep 1"}]}, {"text": "Done."}]}, Script)


def test_an_error_of_an_agents_making_is_not_raised(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settle(*_: object) -> float:
        raise OSError(errno.ENAMETOOLONG, "the folders cannot be read")

    monkeypatch.setattr(attempt, "settle", settle)
    result = stage.play(backend("claude"), tmp_path, Play(script=SCRIPT)).result
    assert (result.ending, result.raised) == (Ending.CLI_BROKEN, None)
    assert "the folders cannot be read" in result.explanation
    assert result.metered.turns == 2


ASKS = """
import http.client, json, time
for name in ("localhost",) * 9:
    asked = http.client.HTTPConnection("127.0.0.1", 18080)
    tool = {"name": "Bash", "description": "x", "input_schema": {"type": "object"}}
    body = {"model": "scripted", "max_tokens": 9, "tools": [tool], "messages": [{"role": "user", "content": "fail"}]}
    asked.request("POST", "/v1/messages", json.dumps(body), {"content-type": "application/json"})
    open("asked", "a").write(str(asked.getresponse().status))
"""
"""Sends requests that the model's service answers with 500, as an agent's program may know some."""
FAILING = {"opening": "fail", "turns": [{"fail": {"status": 500, "times": 99}}]}


@pytest.mark.parametrize("then", [pytest.param("kill -9 2", marks=pytest.mark.nightly), "sleep 30"])
def test_requests_of_the_agents_own_do_not_blame_the_model(stage: Stage, tmp_path: Path, then: str) -> None:
    run = f"cat > asks.py <<'END'{ASKS}END\npython3 asks.py; {then}"
    script = {"turns": [{"calls": [{"run": run}]}, {"text": "Done."}], "conversations": [FAILING]}
    limits = msgspec.structs.replace(LIMITS, failed_requests=3 if then == "sleep 30" else 99)
    play = Play(script=msgspec.convert(script, Script), limits=limits)
    result = stage.play(backend("claude"), tmp_path, play).result
    assert "500500" in (tmp_path / "workspace/asked").read_text()
    assert result.ending is Ending.CLI_CRASHED, "which is retried, and graded at last"
    assert result.metered.turns == 1


def test_an_error_of_the_hosts_disk_is_raised_but_the_usage_is_kept(stage: Stage, tmp_path: Path) -> None:
    def progress(_: Progress) -> None:
        if (tmp_path / "workspace/trace").exists():
            raise OSError(errno.EIO, "the disk fails")

    result = stage.play(backend("claude"), tmp_path, Play(script=SCRIPT), progress=progress).result
    assert result.ending is Ending.HARNESS_ERROR
    assert isinstance(result.raised, OSError)
    assert result.metered.turns == 1
