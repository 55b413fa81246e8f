"""Logs, read by inspect_ai, and shown by Inspect View in Chromium."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backends.registry import own_names
from harness.results.runs import read_run
from tests.support.project import wait_until
from tests.support.transcripts import HOSTILE

inspect_log: Any = pytest.importorskip("inspect_ai.log", reason="make exports installs inspect_ai")
playwright: Any = pytest.importorskip("playwright.sync_api", reason="make exports installs playwright")
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def log(exported: Path) -> Any:
    return inspect_log.read_eval_log(str(exported / "logs/run.eval"))


def sample(log: Any, name: str, epoch: int = 1) -> Any:
    [found] = [one for one in log.samples if (one.id, one.epoch) == (name, epoch)]
    return found


def test_scores_and_tokens_are_those_of_the_records(run: Path, log: Any) -> None:
    records = {one.case.id: one for one in read_run(run)[1] if one.outcome != "skipped"}
    assert len(log.samples) == len(records) == 2 * len(own_names()) + 6, "two for each backend, and Claude Code's"
    for one in log.samples:
        record = records[one.metadata["case"]]
        scores = {name: score.value for name, score in (one.scores or {}).items()}
        passed = "C" if record.outcome == "passed" else "I"
        assert scores == ({"solve_rate": record.score.solve_rate, "passed": passed} if record.score else {})
        told = record.usage.metered
        counted = [(use.input_tokens, use.output_tokens, use.total_cost) for use in one.model_usage.values()]
        assert counted == ([(told.input_tokens, told.output_tokens, told.cost_usd)] if told else [])
    [total] = log.stats.model_usage.values()
    metered = [one.usage.metered for one in records.values() if one.usage.metered]
    assert total.input_tokens == sum(one.input_tokens or 0 for one in metered)


def test_the_log_reads_as_a_whole_and_in_parts(exported: Path, log: Any) -> None:
    assert (log.version, log.status) == (2, "cancelled")
    where = str(exported / "logs/run.eval")
    assert inspect_log.read_eval_log(where, header_only=True).results == log.results
    summaries = inspect_log.read_eval_log_sample_summaries(where)
    assert {(one.id, one.epoch) for one in summaries} == {(one.id, one.epoch) for one in log.samples}
    one = inspect_log.read_eval_log_sample(where, id="codex-qwen-maze", epoch=2)
    assert one.uuid == sample(log, "codex-qwen-maze", 2).uuid


@pytest.mark.parametrize("backend", own_names())
def test_a_model_event_has_the_conversation_before_it(log: Any, backend: str) -> None:
    one = sample(log, f"{backend}-qwen-maze")
    models = [event for event in one.events if event.event == "model"]
    assert [len(event.input) for event in models] == [2, 4, 6]
    for event in models:
        assert [message.id for message in event.input] == [message.id for message in one.messages[: len(event.input)]]
        assert event.output.usage.total_tokens == 350
    assert [event.function for event in one.events if event.event == "tool"] == [
        call.function for message in one.messages if message.role == "assistant" for call in message.tool_calls or []
    ]


def test_a_hostile_text_is_read_as_it_was_written(log: Any) -> None:
    [said] = [message for message in sample(log, "claude-qwen-hostile").messages if message.role == "assistant"]
    assert said.text.rstrip("?\ufffd") == HOSTILE.rstrip("\udc80")


def test_inspect_writes_what_it_read(exported: Path, log: Any, tmp_path: Path) -> None:
    inspect_log.write_eval_log(log, str(tmp_path / "again.eval"))
    again = inspect_log.read_eval_log(str(tmp_path / "again.eval"))
    assert (again.results, again.stats, again.eval) == (log.results, log.stats, log.eval)


@contextmanager
def inspect_view(logs: Path) -> Iterator[str]:
    """Run `inspect view` on a free port of the loopback, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "inspect"
    options = ["--log-dir", str(logs), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [program, "view", "start", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: process.poll() is not None or listens(port), "inspect view")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium")
def test_inspect_view_shows_the_log(exported: Path, tmp_path: Path) -> None:
    with inspect_view(exported / "logs") as address, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.goto(f"{address}#/logs/run.eval")
        page.get_by_text("claude-qwen-hostile").first.wait_for()
        page.screenshot(path=tmp_path / "samples.png")
        for name, shown in (
            ("codex-qwen-maze", "6 times 7 is 42"),
            ("claude-qwen-subagents", "subagent"),
            ("claude-qwen-hostile", "<script>alert(1)</script>"),
        ):
            page.goto(f"{address}#/logs/run.eval/samples/sample/{name}/1/messages")
            page.get_by_text(f"Sample {name} (Epoch 1)").first.wait_for()
            if name.endswith("subagents"):
                page.goto(f"{address}#/logs/run.eval/samples/sample/{name}/1/transcript")
            page.get_by_text(shown).first.wait_for()
            page.screenshot(path=tmp_path / f"{name}.png")
        browser.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert len(list(tmp_path.glob("*.png"))) == 4
