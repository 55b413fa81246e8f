"""The tools behind the contract's report and its canaries."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backends.base import PipPackage
from backends.registry import backend, names
from harness.agent.cli import lock_of
from harness.gateway.allowlist import LISTS, read_list
from tests.contracts import canaries, newest
from tests.contracts.changes import changed_request, changed_shapes, readable
from tests.contracts.latest_report import Compared, report
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


def test_a_line_without_an_object_is_named_as_such() -> None:
    assert changed_shapes(stream({"type": "result"}), stream({"type": "result"}) + b"\nWarning: old\n[1]") == [
        "+ a line without an object"
    ]


def test_requests_over_googles_wire_are_readable() -> None:
    tools = [{"functionDeclarations": [{"name": "glob", "description": "Finds files."}]}]
    body = {"systemInstruction": {"parts": [{"text": "Be kind."}]}, "contents": [], "tools": tools}
    lines = readable(json.dumps(body).encode())
    assert "Be kind." in lines
    assert lines[lines.index("# tool glob") + 1] == "Finds files."


def test_the_report_has_a_row_for_each_cli_and_what_was_found_of_those_that_changed() -> None:
    same = Compared(backend="mini", package="mini-swe-agent", pinned="2.4.6", newest="2.4.6")
    lost = Compared(backend="pi", package="pi-agent", pinned="0.73.1", fault="npm install failed: ETARGET")
    broken = Compared(
        backend="codex",
        package="@openai/codex",
        pinned="0.1",
        newest="0.2",
        clauses=["test_a_limit_holds_exactly[codex-turns]"],
        shapes=["+ item/new", "- item/old", "+ usage.x"],
        request=["--- pinned", "+++ newest", "@@ -1 +1 @@", "-Be brief.", "+Be thorough."],
    )
    table, _, found = report([same, lost, broken]).partition("\n\n")
    assert table.splitlines()[2:] == [
        "| codex | @openai/codex | 0.1 | 0.2 | breaks 1 clause | events +2 -1, request +1 -1 |",
        "| mini | mini-swe-agent | 2.4.6 | 2.4.6 | the same version | - |",
        "| pi | pi-agent | 0.73.1 | - | cannot be installed | - |",
    ]
    assert "test_a_limit_holds_exactly[codex-turns]" in found
    assert "npm install failed: ETARGET" in found
    assert "mini" not in found
    assert [one.good for one in (same, lost, broken)] == [True, False, False]


def test_the_pin_of_a_cli_from_pypi_is_raised_and_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, lock = backend("mini").installation, tmp_path / "requirements.txt"
    assert isinstance(package, PipPackage)
    monkeypatch.setattr(newest, "ROOT", tmp_path)
    monkeypatch.setattr(newest, "lock_of", lambda _: lock)
    (tmp_path / "Makefile").write_text("requirements.txt: requirements.in\n\tcp $< $@\n")
    newest.raise_pin(package, "9.9")
    assert lock.read_text() == "mini-swe-agent==9.9\n"
    (tmp_path / "Makefile").write_text("requirements.txt: requirements.in\n\tfalse\n")
    with pytest.raises(SystemExit, match=r"`make requirements\.txt` failed in .*: see its output above"):
        newest.raise_pin(package, "9.10")


def test_the_lock_of_each_cli_from_pypi_has_its_pin() -> None:
    packages = [one for name in names() if isinstance(one := backend(name).installation, PipPackage)]
    assert packages
    for package in packages:
        pin = lock_of(package).with_suffix(".in").read_text().strip()
        assert pin.startswith(f"{package.package}==")
        assert f"\n{pin} " in lock_of(package).read_text()


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
