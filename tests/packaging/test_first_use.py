"""A CLI that is not installed is installed when a case first needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.endings import Ending
from tests.support.bare_machine import BareMachine
from tests.support.project import Project


@pytest.mark.parametrize(
    ("npm", "ending", "told", "installed"),
    [
        ("", Ending.SILENT_EXIT, "", ["pi"]),
        ("fail npm error code ECONNREFUSED", Ending.CLI_MISSING, "the npm registry cannot be reached", []),
    ],
)
def test_the_first_case_installs_its_cli_or_says_why_not(
    npm: str, ending: Ending, told: str, installed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = BareMachine(tmp_path, monkeypatch)
    machine.sets("NPM_DOES", npm)
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    project.pytest("--suite", "smoke", "--backend", "pi", "-k", "small_maze", "--set", "limits.retries=0")
    [record] = project.records.values()
    assert record.ending == ending
    assert told in record.explanation
    assert [name.partition("-")[0] for name in machine.left] == installed
