"""`proctor export` of transcripts: ATIF and logs for Inspect. `make exports` reads them with their own readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from msgspec.structs import replace

from backends.registry import own_names
from harness.commands.main import main
from tests.support.runs import night, write_run
from tests.support.transcripts import STARTED, transcript_run

PNG = b"\x89PNG\r\n\x1a\n"
BACKENDS = len(own_names())
"""Each has two replicates in the run, and only the first one passes."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return transcript_run(tmp_path_factory.mktemp("runs") / "20261126T110221.244Z-nightly")


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("out") / "atif"
    assert main(["export", str(run), "--atif", str(to)]) == 0
    return to


@pytest.fixture(scope="module")
def log(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("out") / "run.eval"
    assert main(["export", str(run), "--inspect", str(file)]) == 0
    with ZipFile(file) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def trajectory(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"claude-qwen-{name}.json").read_text())
    return found


def sample(log: dict[str, Any], name: str, epoch: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = log[f"samples/{name}_epoch_{epoch}.json"]
    return found


class TestTrajectories:
    """What `--atif` writes."""

    @pytest.mark.parametrize("backend", own_names())
    def test_each_backend_has_the_same_steps(self, folder: Path, backend: str) -> None:
        read = json.loads((folder / f"{backend}-qwen-maze-r1.json").read_text())
        assert read["schema_version"] == "ATIF-v1.8"
        assert read["agent"]["name"] == backend
        sources = [step["source"] for step in read["steps"]]
        assert sources == ["system", "user", "agent", "agent", "agent"]
        assert [step["step_id"] for step in read["steps"]] == [1, 2, 3, 4, 5]
        _, asked, wrote, ran, ended = read["steps"]
        assert asked["message"] == "Solve the maze."
        assert "x = 1" in json.dumps(wrote["tool_calls"])
        [result] = ran["observation"]["results"]
        assert result["source_call_id"] == ran["tool_calls"][0]["tool_call_id"]
        assert "42" in result["content"]
        assert "6 times 7 is 42" in ended["message"]
        assert wrote["timestamp"] == "2026-11-26T11:02:22.000+00:00"
        assert wrote["metrics"] == {
            "prompt_tokens": 320,
            "completion_tokens": 30,
            "cached_tokens": 20,
            "cost_usd": 0.001,
            "extra": {"cache_write_tokens": 0},
        }
        assert read["final_metrics"] == {
            "total_steps": 5,
            "total_prompt_tokens": 900,
            "total_completion_tokens": 90,
            "total_cost_usd": 0.01,
        }

    def test_subagents_are_embedded(self, folder: Path) -> None:
        read = trajectory(folder, "subagents-r1")
        embedded = {one["trajectory_id"]: one for one in read["subagent_trajectories"]}
        results = [result for step in read["steps"] for result in step.get("observation", {}).get("results", [])]
        refs = [ref["trajectory_id"] for result in results for ref in result.get("subagent_trajectory_ref", [])]
        assert refs == list(embedded)
        assert [one["steps"][0]["message"] for one in embedded.values()] == ["Count the files.", "List the files."]
        assert [len(one["steps"][1]["tool_calls"]) for one in embedded.values()] == [1, 2]

    def test_each_attempt_has_a_file_and_names_the_next_one(self, folder: Path) -> None:
        first, last = trajectory(folder, "retried-r1.attempt-1"), trajectory(folder, "retried-r1")
        assert first["continued_trajectory_ref"] == "claude-qwen-retried-r1.json"
        assert "continued_trajectory_ref" not in last
        assert first["session_id"] == last["session_id"]
        assert first["trajectory_id"] != last["trajectory_id"]
        assert (first["extra"]["ending"], last["extra"]["ending"]) == ("model_error", "finished")
        assert first["final_metrics"]["total_prompt_tokens"] == 320

    def test_what_is_not_known_is_left_out(self, folder: Path) -> None:
        read = trajectory(folder, "limited-r1")
        assert not any("timestamp" in step for step in read["steps"])
        assert read["final_metrics"] == {"total_steps": len(read["steps"])}
        assert trajectory(folder, "killed-r1")["agent"]["version"] == "unknown"

    def test_pictures_lie_beside_the_trajectory(self, run: Path, tmp_path: Path) -> None:
        case = run / "claude-qwen-hostile-r1"
        stream = [
            {"type": "tool_use", "id": "a", "name": "mcp__environment__render_state", "input": {}},
            {"type": "tool_result", "tool_use_id": "a", "content": "0001-first.png 0002-link.png"},
        ]
        lines = [
            {"type": kind, "message": {"id": "m", "content": [part]}}
            for kind, part in zip(("assistant", "user"), stream, strict=True)
        ]
        before = (case / "stream.jsonl").read_bytes()
        (case / "renders").mkdir()
        (case / "renders/0001-first.png").write_bytes(PNG)
        (case / "renders/0002-link.png").symlink_to("0001-first.png")
        (case / "renders/0003-unnamed.png").write_bytes(PNG)
        (case / "stream.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        try:
            assert main(["export", str(run), "hostile", "--atif", str(tmp_path)]) == 0
        finally:
            (case / "stream.jsonl").write_bytes(before)
        [step] = [step for step in trajectory(tmp_path, "hostile-r1")["steps"] if step["source"] == "agent"]
        [_text, *images] = step["observation"]["results"][0]["content"]
        assert [image["source"]["path"] for image in images] == ["claude-qwen-hostile-r1/0001-first.png"]
        assert [path.name for path in (tmp_path / "claude-qwen-hostile-r1").iterdir()] == ["0001-first.png"]
        assert (tmp_path / images[0]["source"]["path"]).read_bytes() == PNG

    def test_cases_without_a_transcript_are_named(
        self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["export", str(run), "--atif", str(tmp_path)]) == 0
        told = capsys.readouterr().err.splitlines()
        assert told[:2] == [
            "claude-qwen-mute-r1: no trajectory: its CLI left no stream",
            "claude-qwen-skipped-r1: no trajectory: it was skipped",
        ]
        assert told[2] == f"{tmp_path}: {2 * BACKENDS + 6} trajectories"


class TestInspect:
    """What `--inspect` writes."""

    def test_each_case_is_a_sample_and_each_replicate_an_epoch(self, log: dict[str, Any]) -> None:
        header, summaries = log["header.json"], log["summaries.json"]
        assert {name for name in log if name.startswith("samples/")} == {
            f"samples/{one['id']}_epoch_{one['epoch']}.json" for one in summaries
        }
        assert len(summaries) == 2 * BACKENDS + 6
        assert header["eval"]["config"]["epochs"] == 2
        assert (header["eval"]["model"], header["eval"]["task"]) == ("local/qwen", "nightly")
        assert header["eval"]["created"] == STARTED
        assert header["status"] == "cancelled"
        assert header["eval"]["viewer"] == {"trust_content": False}

    def test_scores_and_tokens_are_those_of_the_records(self, log: dict[str, Any]) -> None:
        usage = {"input_tokens": 900, "output_tokens": 90, "total_tokens": 990, "total_cost": 0.01}
        for backend in own_names():
            for epoch, rate, passed in ((1, 1.0, "C"), (2, 0.15, "I")):
                read = sample(log, f"{backend}-qwen-maze", epoch)
                assert {name: score["value"] for name, score in read["scores"].items()} == {
                    "solve_rate": rate,
                    "passed": passed,
                }
                assert read["model_usage"] == {"local/qwen": usage}
        total = log["header.json"]["stats"]["model_usage"]["local/qwen"]
        assert total == {name: pytest.approx(count * (2 * BACKENDS + 5)) for name, count in usage.items()}
        rate, passed = log["header.json"]["results"]["scores"]
        scored = 2 * BACKENDS + 4
        assert (rate["scored_samples"], rate["unscored_samples"]) == (scored, 2)
        assert rate["metrics"]["mean"]["value"] == pytest.approx((BACKENDS * 1.15 + 1.0 + 0.15 + 0.15) / scored)
        assert passed["metrics"]["accuracy"]["value"] == pytest.approx((BACKENDS + 1) / scored)

    @pytest.mark.parametrize("backend", own_names())
    def test_each_backend_has_the_same_messages_and_calls(self, log: dict[str, Any], backend: str) -> None:
        read = sample(log, f"{backend}-qwen-maze")
        roles = [message["role"] for message in read["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "tool", "assistant"]
        models = [event for event in read["events"] if event["event"] == "model"]
        assert [event["input_refs"] for event in models] == [[[0, 2]], [[0, 4]], [[0, 6]]]
        assert [event["timestamp"][17:26] for event in models] == ["22.000000", "23.000000", "24.000000"]
        assert models[0]["completed"][17:26] == "22.250000"
        tools = [event for event in read["events"] if event["event"] == "tool"]
        assert "x = 1" in json.dumps(tools[0]["arguments"])
        assert "42" in tools[1]["result"]
        assert "6 times 7 is 42" in read["output"]["completion"]

    def test_subagents_are_spans_and_attempts_too(self, log: dict[str, Any]) -> None:
        events = sample(log, "claude-qwen-subagents")["events"]
        begun = {event["id"]: event for event in events if event["event"] == "span_begin"}
        assert [event["type"] for event in begun.values()] == ["agent", "agent"]
        spans = [event["agent_span_id"] for event in events if "agent_span_id" in event]
        assert spans == list(begun)
        inside = [event["function"] for event in events if event["event"] == "tool" and event.get("span_id") in begun]
        assert inside == ["Bash", "Bash", "Bash"]
        retried = sample(log, "claude-qwen-retried")
        named = [event["name"] for event in retried["events"] if event["event"] == "span_begin"]
        assert named == ["attempt 1", "attempt 2"]
        assert [one["message"] for one in retried["error_retries"]] == ["model_error: the service answered 500"]
        second = [
            event["input_refs"]
            for event in retried["events"]
            if event.get("span_id") == "span-2" and "input_refs" in event
        ]
        assert second[0][0][0] == 0  # it went on with what was said before

    def test_errors_and_limits_are_told(self, log: dict[str, Any]) -> None:
        assert sample(log, "claude-qwen-mute")["error"]["message"] == "model_error: the model is gone"
        assert sample(log, "claude-qwen-mute")["scores"] == {}
        limit = sample(log, "claude-qwen-limited")["limit"]
        assert (limit["type"], limit["limit"]) == ("turn", 2)
        assert sample(log, "claude-qwen-limited")["model_usage"] == {}
        assert sample(log, "claude-qwen-limited")["started_at"] == "2026-11-26T11:02:21.244000+00:00"  # as the run
        assert sample(log, "claude-qwen-killed")["error"]["message"].startswith("interrupted: ")

    def test_each_try_of_a_session_is_a_sample(self, tmp_path: Path) -> None:
        first, *_ = night({("codex", "maze"): [3]})
        run = write_run(tmp_path / "run", [first, replace(first, try_number=2, artifacts="again")])
        assert main(["export", str(run), "--inspect", str(tmp_path / "x.eval")]) == 0
        with ZipFile(tmp_path / "x.eval") as archive:
            summaries = json.loads(archive.read("summaries.json"))
            assert [one["id"] for one in summaries] == ["codex-qwen-maze", "codex-qwen-maze.2"]
            assert json.loads(archive.read("header.json"))["status"] == "success"

    def test_a_run_that_was_stopped_is_cancelled(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", night({("codex", "maze"): [3]}))
        (run / "cases.json").write_text(json.dumps(["codex-qwen-maze-r1", "codex-qwen-maze-r2"]))
        assert main(["export", str(run), "--inspect", str(tmp_path / "x.eval")]) == 0
        with ZipFile(tmp_path / "x.eval") as archive:
            assert json.loads(archive.read("header.json"))["status"] == "cancelled"

    def test_one_case_alone_is_a_log(self, run: Path, tmp_path: Path) -> None:
        assert main(["export", str(run), "codex-qwen-maze-r2", "--inspect", str(tmp_path / "one.eval")]) == 0
        with ZipFile(tmp_path / "one.eval") as archive:
            assert [one["id"] for one in json.loads(archive.read("summaries.json"))] == ["codex-qwen-maze"]
            assert json.loads(archive.read("header.json"))["status"] == "success"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["RUN", "maze", "--atif", "x"], "has several cases named 'maze'; choose one of: "),
        (["RUN", "--inspect", "x.json"], "Inspect reads only files whose names end in .eval"),
        (["RUN", "skipped", "--inspect", "x.eval"], "every case was skipped, so there is nothing to write"),
        (["RUN", "--episodes", "--otel", "x"], "--episodes is for tables: use it with --csv or --parquet"),
        (["RUN", "maze", "--csv", "x"], "a table has all cases: leave out CASE"),
        (["last:2", "--atif", "x"], "last:2 names 2 runs: choose one"),
        (["RUN", "--otel", "no/such/folder/x"], "No such file or directory"),
    ],
)
def test_each_mistake_has_a_message(
    run: Path, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "last:2" in arguments:
        transcript_run(run.parent / "20261126T120000.000Z-nightly")
    given = [str(run) if one == "RUN" else str(tmp_path / one) if one.startswith("x") else one for one in arguments]
    with pytest.raises(SystemExit, match="2"):
        main(["export", "--runs-dir", str(run.parent), *given])
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
