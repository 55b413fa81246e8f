"""Reading a recorded stream of a real CLI gives its `expected.json`. To add a case, add a folder.

`BACKEND-VERSION/` holds streams of an earlier CLI, which writes another stream than the pinned one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from backends.registry import names
from harness.commands.decode import decode_file
from tests.corpus.scenarios import scenarios

CORPUS = Path(__file__).parents[1] / "corpus"
CASES = sorted(path.parent.relative_to(CORPUS).as_posix() for path in CORPUS.glob("*/*/expected.json"))


@pytest.mark.parametrize("stream", CASES)
def test_a_recorded_stream_is_read_as_expected(stream: str) -> None:
    folder = CORPUS / stream
    exit_code = int((folder / "exit_code").read_text())
    name = stream.partition("/")[0].partition("-")[0]
    read = decode_file(name, str(folder / "stream.jsonl"), exit_code=exit_code, stderr=folder / "stderr")
    assert read == json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize("stream", CASES)
def test_a_recorded_cli_writes_nothing_unknown(stream: str) -> None:
    expected = json.loads((CORPUS / stream / "expected.json").read_text())
    assert (expected["unknown_events"], expected["malformed_lines"]) == (0, 0)


@pytest.mark.parametrize("name", names())
def test_every_backend_has_recorded_streams(name: str) -> None:
    assert len([case for case in CASES if case.startswith(f"{name}/")]) >= 35


@pytest.mark.parametrize("name", names())
def test_every_scenario_of_the_recorder_is_recorded(name: str) -> None:
    assert {f"{name}/{case}" for case in scenarios(name)} <= set(CASES)


@pytest.mark.parametrize("stream", CASES)
def test_no_recording_names_a_path_of_the_recording_machine(stream: str) -> None:
    recorded = b"".join((CORPUS / stream / name).read_bytes() for name in ("stream.jsonl", "stderr"))
    assert not re.findall(rb'"/(?:home|root|work|Users|tmp/(?:corpus|contract|pytest)-[^/"]*)/[^"]*', recorded)
