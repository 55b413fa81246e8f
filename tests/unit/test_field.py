"""Small streams after public bug reports read as their `expected.json` says, in `tests/field`.

That file names only what must hold. A list means any of its values. `exit_code` and `stderr` may be left out.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.commands.decode import decode_file

FIELD = Path(__file__).parents[1] / "field"
CASES = sorted(path.parent.relative_to(FIELD).as_posix() for path in FIELD.glob("*/*/expected.json"))


def test_there_are_cases() -> None:
    assert len(CASES) >= 37


@pytest.mark.parametrize("case", CASES)
def test_reads_a_stream_from_the_field_as_expected(case: str) -> None:
    folder = FIELD / case
    exit_code, stderr = folder / "exit_code", folder / "stderr"
    read = decode_file(
        case.split("/", maxsplit=1)[0],
        str(folder / "stream.jsonl"),
        exit_code=int(exit_code.read_text()) if exit_code.exists() else None,
        stderr=stderr if stderr.exists() else None,
    )
    expected = json.loads((folder / "expected.json").read_text())
    assert expected
    for name, wanted in expected.items():
        assert read[name] in (wanted if isinstance(wanted, list) else [wanted]), name
