"""The object that `proctor decode` prints."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from harness.commands.decode import decode_file

FINAL = {"type": "result", "subtype": "success", "is_error": False, "session_id": "s", "total_cost_usd": 0.5}


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "stream.jsonl"
    path.write_text(json.dumps(FINAL) + '\nnoise\n{"type": "new"}')
    return path


def test_it_has_the_keys_of_the_design(stream: Path) -> None:
    assert decode_file("claude", str(stream), exit_code=0) == {
        "turns": 0,
        "tool_calls": 0,
        "tool_errors": 0,
        "usage": {
            "input_tokens": None,
            "output_tokens": None,
            "cache_read_tokens": None,
            "cache_write_tokens": None,
            "reasoning_tokens": None,
        },
        "usage_by_model": {},
        "cost_usd": 0.5,
        "ending": "finished",
        "cause": "agent",
        "error": None,
        "api_retries": 0,
        "mcp_servers": {},
        "session_id": "s",
        "subagents": 0,
        "compactions": 0,
        "denials": 0,
        "experiment_s": 0.0,
        "other_tools_s": 0.0,
        "unknown_events": 1,
        "unknown_sample": {"type": "Unknown", "kind": "new", "sample": '{"type": "new"}', "offset": 108, "length": 15},
        "malformed_lines": 1,
        "malformed_sample": {"type": "Malformed", "reason": "no JSON", "sample": "noise", "offset": 102, "length": 5},
    }


def test_it_reads_standard_input(monkeypatch: pytest.MonkeyPatch, stream: Path) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.read_bytes())))
    assert decode_file("claude", "-") == decode_file("claude", str(stream))


def test_the_exit_code_and_standard_error_count(tmp_path: Path) -> None:
    (tmp_path / "stream.jsonl").touch()
    (tmp_path / "stderr").write_bytes(b"\xff" * 100_000 + b"\nError: Unable to connect\n")
    read = decode_file("opencode", str(tmp_path / "stream.jsonl"), exit_code=1, stderr=tmp_path / "stderr")
    assert (read["ending"], read["cause"]) == ("model_unreachable", "model")
    assert read["error"] == "the CLI exited with code 1: Error: Unable to connect"


def test_an_adapter_may_be_named_by_its_import_path(stream: Path) -> None:
    assert decode_file("backends.claude:BACKEND", str(stream)) == decode_file("claude", str(stream))


def test_a_missing_file_and_an_unknown_backend_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode_file("claude", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="choose one of"):
        decode_file("clyde", str(tmp_path / "none"))
