"""The tools behind the contract's report and its canaries."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backends.registry import names
from harness.gateway.allowlist import LISTS, read_list
from tests.contracts import canaries
from tests.contracts.changes import changed_request, changed_shapes, readable
from tests.contracts.sent import Seen


def stream(*events: object) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def test_new_and_lost_event_types_and_fields_are_named_by_their_tops() -> None:
    before = stream({"type": "result", "usage": {"a": 1}}, {"type": "system", "subtype": "old", "x": 1})
    after = stream({"type": "result", "usage": {"a": 2, "b": {"c": 1}}}, {"type": "item", "item": {"type": "new"}})
    assert changed_shapes(before, after) == ["+ item/new", "+ result.usage.b", "- system/old"]
    assert changed_shapes(before, before) == []


def test_requests_differ_where_a_reader_would_see_a_difference() -> None:
    tool = {"name": "Bash", "description": "Runs\na command.", "input_schema": {"type": "object"}}
    before = {
        "model": "m",
        "system": [{"type": "text", "text": "Be kind.\nBe brief."}],
        "tools": [tool],
        "messages": [],
    }
    after = before | {"system": [{"type": "text", "text": "Be kind.\nBe thorough."}], "tools": []}
    changes = changed_request(*(json.dumps(body).encode() for body in (before, after)))
    assert "-Be brief." in changes
    assert "+Be thorough." in changes
    assert "-# tool Bash" in changes
    assert "-a command." in changes


def test_ids_and_ports_of_a_session_make_no_difference() -> None:
    one = {"model": "m", "session": "0b9e2b6c-8a4f-4c1e-9d43-1f3a5b7c9d10", "url": "http://127.0.0.1:34567/mcp"}
    other = {"model": "m", "session": "11111111-2222-3333-4444-555555555555", "url": "http://127.0.0.1:41234/mcp"}
    assert readable(json.dumps(one).encode()) == readable(json.dumps(other).encode())


@pytest.mark.parametrize("wire", sorted(path.stem for path in LISTS.glob("*.yaml")))
def test_what_is_recorded_stays_recorded_when_one_more_cli_is_added(wire: str) -> None:
    seen, recorded = Seen(), read_list(wire).recorded
    seen.add_listed(recorded)
    assert seen.listed() == recorded
    seen.add("/v1/new", "beta=true", "m", json.dumps({"model": "m", "new": {"type": "fast"}}).encode())
    more = seen.listed()
    assert set(more.paths) == {*recorded.paths, "/v1/new"}
    assert more.body["new.type"] == ["fast"]
    assert recorded.body.items() <= more.body.items()


def test_canaries_are_planted_around_the_sessions_and_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = canaries.plant(tmp_path, monkeypatch)
    above = [folder for folder in sessions.parents if folder.is_relative_to(tmp_path)]
    shared, *own = canaries.places()
    assert len(own) == len(names())
    for places in (shared, *own):
        for name in places.project:
            for folder in (sessions, *above, tmp_path / "home"):
                assert canaries.found_in((folder / name).read_bytes()), name
        for name in places.home:
            assert canaries.found_in((tmp_path / "home" / name).read_bytes()), name
        for variable, value in places.variables.items():
            assert canaries.found_in(os.environ[variable].encode()) or "$home" in str(value), variable
        for variable in places.folders:
            assert Path(os.environ[variable], "AGENTS.md").exists()
    assert Path(os.environ["HOME"]) == tmp_path / "home"
