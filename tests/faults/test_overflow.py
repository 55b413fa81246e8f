"""Real overflows: a real CLI meets the model's context or output limit, and goes on as `limits.on_overflow` says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backends.registry import backend, names
from harness.endings import Ending
from harness.results.record import Asked
from tests.faults.test_endings import Fault, check, play, runs
from tests.support.words import words

REFUSED = {"claude": 3, "opencode": 2, "kilo": 2, "kimi": 2, "qwen": 2}
"""How often the conversation is refused, for CLIs that compact one that is refused. The request for that is, too, which
Claude Code makes twice."""

SMALL = {"codex": (24_000, 2500), "kimi": (40_000, 8000)}
"""The model's context, and the numbers that a command prints, for CLIs that compact only a conversation that takes a
good part of the context."""

KEPT_BY_PI = ["yes $(seq -s. 30) | head -600"] * 3
"""Commands that print more than the 20,000 tokens at the end of a conversation that Pi leaves as they are."""

FIRST = [
    pytest.param(name, marks=[] if name == "claude" else pytest.mark.nightly)
    for name in names()
    if backend(name).capabilities.compact
]


@pytest.mark.parametrize("name", FIRST)
def test_a_conversation_that_is_too_long_is_compacted_and_goes_on(tmp_path: Path, name: str) -> None:
    asked = [*([Asked.COMPACT] if backend(name).compact_prompt else []), Asked.SHORTENED]
    context, numbers = SMALL.get(name, (65_536, 2500))
    once = f"test -e trace || {{ touch trace; seq {numbers}; }}"  # the script of a compacted conversation runs it again
    calls = KEPT_BY_PI if name == "pi" else [once]
    long = "" if Asked.COMPACT in asked else "".join(f"{{run: {call!r}}}, " for call in calls)
    summary = "In short." if name == "qwen" else "<summary>In short.</summary>"  # Qwen Code refuses a tag at the start
    fail = f"{{status: 400, message: {words(name).too_long!r}, times: {REFUSED.get(name, 1)}}}"
    faults = {
        "overflow": Fault(
            f"- text: So far.\n    calls: [{long}{{run: echo a}}]\n  - text: {summary}\n    fail: {fail}",
            (Ending.CONTEXT_OVERFLOW, *[Ending.FINISHED for _ in asked]),
            "ended its session",
            f"price: unknown\ncontext: {context}\n",
        )
    }
    records = play(tmp_path, name, faults, **{"limits.on_overflow": "compact"})
    check(records, faults)
    assert [attempt.asked for attempt in records["overflow"].attempts] == [Asked.TASK, *asked]
    ledger = tmp_path / "runs/latest" / str(records["overflow"].artifacts) / "gateway.jsonl"
    requests = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert any(one["kind"] == "side" or one["turn"] == 0 for one in requests), "no summary, and no new conversation"


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["pi", "opencode"])
def test_an_answer_that_was_cut_is_continued_once(tmp_path: Path, name: str) -> None:
    """Claude Code asks for the rest of a cut answer itself."""
    turns = f"{runs('echo a')}\n  - {{text: Once upon a time, truncated: true}}"
    ends = (Ending.OUTPUT_TOKEN_LIMIT, Ending.OUTPUT_TOKEN_LIMIT)
    faults = {"cut": Fault(turns, ends, "was cut by its output limit")}
    records = play(tmp_path, name, faults, **{"limits.on_overflow": "continue"})
    check(records, faults)
    assert [attempt.asked for attempt in records["cut"].attempts] == [Asked.TASK, Asked.BRIEFLY]
