"""Exports of transcripts: whatever an agent does, each turn and each call is there once, and readers can read it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.registry import names
from harness.exports.atif import trajectory
from harness.exports.cases import ExportedCase, shown
from harness.exports.inspect_messages import InspectTranscript
from harness.exports.otel import spans
from harness.exports.plain import json_bytes, json_text, plain
from harness.exports.timeline import timed_case
from harness.transcript.turns import Said, ToolUse, Transcript
from tests.properties.test_decode import streams
from tests.properties.test_transcript import all_turns, parts, transcribed
from tests.support.runs import record

FEWER = settings(max_examples=settings.default.max_examples // 3)  # type: ignore[union-attr]  # a profile is loaded
any_backend = pytest.mark.parametrize("name", names())
texts = st.text(st.characters(), max_size=20)
"""Every text that Python can hold, lone surrogates included."""
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=20,
)


def case_of(name: str, data: st.DataObject) -> ExportedCase:
    thread = shown(transcribed(name, data.draw(streams(name))).thread)
    return ExportedCase(
        run="20261126T110221.244Z-nightly",
        record=record(name, "maze", 1, solved=3),
        transcripts=(Transcript(attempt=1, thread=thread, prompt="Solve it."),),
    )


def calls_and_turns(case: ExportedCase) -> tuple[int, int]:
    thread = case.transcripts[0].thread
    calls = [part for part in parts(thread) if isinstance(part, ToolUse)]
    return len(calls), len(list(all_turns(thread)))


def with_subagents(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield document
    for inner in document.get("subagent_trajectories", []):
        yield from with_subagents(inner)


@any_backend
@FEWER
@given(data=st.data())
def test_a_trajectory_has_every_turn_and_call_once(name: str, data: st.DataObject) -> None:
    case = case_of(name, data)
    documents = [*with_subagents(json.loads(json_bytes(trajectory(case, case.transcripts[0]))))]
    steps = [step for document in documents for step in document["steps"]]
    agent = [step for step in steps if step["source"] == "agent"]
    assert (sum(len(step.get("tool_calls", [])) for step in agent), len(agent)) == calls_and_turns(case)
    for document in documents:
        assert [step["step_id"] for step in document["steps"]] == list(range(1, len(document["steps"]) + 1))
    for step in agent:
        ids = [call["tool_call_id"] for call in step.get("tool_calls", [])]
        assert all(result["source_call_id"] in ids for result in step.get("observation", {}).get("results", []))
    assert len({document["trajectory_id"] for document in documents}) == len(documents)


@any_backend
@FEWER
@given(data=st.data())
def test_the_spans_have_every_turn_and_call_once_below_what_started_them(name: str, data: st.DataObject) -> None:
    case = case_of(name, data)
    found = json.loads(json_bytes([*spans(timed_case(case))]))
    kinds = [span["name"].partition(" ")[0] for span in found]
    assert (kinds.count("execute_tool"), kinds.count("chat")) == calls_and_turns(case)
    before: dict[str, dict[str, Any]] = {}
    for span in found:
        assert span["spanId"] not in before
        if above := span.get("parentSpanId"):
            assert int(before[above]["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
            assert int(span["endTimeUnixNano"]) <= int(before[above]["endTimeUnixNano"])
        before[span["spanId"]] = span


@any_backend
@FEWER
@given(data=st.data())
def test_a_sample_has_every_turn_and_call_once_with_what_was_heard_before(name: str, data: st.DataObject) -> None:
    case = case_of(name, data)
    talk = InspectTranscript(timed_case(case))
    events = json.loads(json_bytes(talk.events))
    kinds = [event["event"] for event in events]
    assert (kinds.count("tool"), kinds.count("model")) == calls_and_turns(case)
    for event in events:
        ends = [place for pair in event.get("input_refs", []) for place in pair]
        assert ends == sorted(ends)
        assert not ends or ends[-1] <= len(talk.pool)
    texts_there = "\n".join(json.dumps(plain(message["content"])) for message in talk.pool)
    for part in parts(case.transcripts[0].thread):
        if isinstance(part, Said):
            assert json.dumps(plain(part.text))[1:-1] in texts_there


@given(values)
def test_whatever_an_agent_writes_can_be_encoded_and_stays(value: Any) -> None:
    read = json.loads(json_bytes(plain(value)))
    assert read == (json_text(value) if isinstance(value, str) else json.loads(json_text(value)))
    assert plain(read) == read
    if isinstance(value, float):
        assert read == (value if math.isfinite(value) else None)


@given(st.integers(0, 3000))
def test_what_nests_deeply_is_cut(levels: int) -> None:
    value: Any = "inner"
    for _ in range(levels):
        value = [value]
    assert json_text(value).count("[") == min(levels, 60)
