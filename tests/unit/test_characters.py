"""Text that an output cannot write: it is replaced, and never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.characters import ERRORS, printable, tolerate
from tests.support.project import ROOT
from tests.support.runs import night, write_run

PLAIN = "→±…·≤≥"


@given(st.text(st.characters(exclude_characters=PLAIN)), st.sampled_from(["ascii", "latin-1", "cp1252", "utf-8"]))
def test_json_says_the_same_in_every_encoding(text: str, encoding: str) -> None:
    written = json.dumps(text, ensure_ascii=False).encode(encoding, ERRORS)
    assert json.loads(written.decode(encoding)) == text


def test_known_signs_are_written_as_people_would() -> None:
    assert "0.98 → 0.09, ±0.10, a…".encode("ascii", ERRORS) == b"0.98 -> 0.09, +/-0.10, a..."
    assert "0.98 → 0.09 ±0.10".encode("latin-1", ERRORS) == b"0.98 -> 0.09 \xb10.10"


def test_a_stream_replaces_what_it_lacks_unless_someone_chose_otherwise() -> None:
    for errors, written in (("strict", b"->"), ("ignore", b"")):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors=errors)
        tolerate(stream)
        stream.write("→")
        stream.flush()
        assert stream.buffer.getvalue() == written
    tolerate(io.StringIO())


def test_the_terminal_decides_what_is_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert printable("a → b") == "a -> b"
    monkeypatch.setattr(sys, "__stdout__", None)
    assert printable("a → b") == "a → b"


def test_the_commands_print_where_only_ascii_can_be_written(tmp_path: Path) -> None:
    """`report --markdown` prints a `·`, and `compare` an arrow."""
    programs = {("claude", "maze"): [20], ("pi", "maze"): [20]}
    write_run(tmp_path / "runs/20261125T010000.000Z-pr", night(programs, scripted=True))
    write_run(tmp_path / "runs/20261126T010000.000Z-pr", night(programs | {("pi", "maze"): [4]}, scripted=True))
    program = (
        "from harness.commands.main import main\n"
        "main(['compare', 'last', 'last'])\n"
        "main(['compare', 'last', 'last', '--json'])\n"
        "main(['report', 'runs/latest', '--markdown'])\n"
    )
    variables = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    assert "case pi-qwen-maze: solve rate 1.00 -> 0.20" in done.stdout
    assert "18 turns - " in done.stdout
    assert done.stdout.isascii()
