"""docs/writing-tests.md: its example runs as printed, and its tables name what the code has."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from harness import fixtures
from harness.evaluation.submission import Submission
from harness.grading import Score
from harness.sandbox.dirs import Completed
from tests.support.markdown import code, code_blocks, page, table
from tests.support.own_project import OwnProject

PAGE = page("docs/writing-tests.md")


def test_every_fixture_stands_there() -> None:
    ours = {name for name, value in vars(fixtures).items() if type(value).__name__ == "FixtureFunctionDefinition"}
    assert {code(row["fixture"]) for row in table(PAGE, "The fixtures")} == ours


@pytest.mark.parametrize(
    ("value", "kind"), [("score", Score), ("submission", Submission), ("sandbox.run(argv)", Completed)]
)
def test_every_attribute_stands_there(value: str, kind: type[Struct]) -> None:
    [row] = [row for row in table(PAGE, "What you can read from them") if code(row["value"]) == value]
    for name in kind.__struct_fields__:
        assert f"`{name}`" in row["attributes"]


def test_the_example_runs_as_printed(tmp_path: Path) -> None:
    project = OwnProject(tmp_path)
    example, *_ = [block.text for block in code_blocks(PAGE) if block.language == "python"]
    project.write("test_mine.py", example)
    [session] = [block.text for block in code_blocks(PAGE) if block.language == "console"]
    command, *printed = [line for line in session.splitlines() if line != "..."]
    options = command.removeprefix("$ pytest ").split()
    done = project.pytest(*options, "--environment", "small_maze", "--set", "model.scripted.script=null")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    words = [row.split() for row in printed if row.startswith("claude")]
    seen = [line.split() for line in done.stdout.splitlines() if line.startswith("claude")]
    assert [row[:-1] for row in seen] == [row[:-1] for row in words], "all but the seconds"
    folders = {path.name for path in (project.folder / "runs/latest").glob("claude*")}
    assert folders == {"claude-scripted-small_maze"}
