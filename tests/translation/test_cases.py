"""Whole cases, as a user runs them: real CLIs solve a maze with models that speak none of their wires."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.results.store import read
from tests.support.project import Project

pytestmark = pytest.mark.translate

WIRES = {
    "claude": ("openai_responses", "openai_chat", "google_generate"),
    "codex": ("anthropic_messages", "openai_chat", "google_generate"),
}


@pytest.mark.parametrize("backend", WIRES)
def test_a_cli_solves_a_maze_with_a_model_of_each_other_wire(tmp_path: Path, backend: str) -> None:
    project = Project(tmp_path)
    for wire in WIRES[backend]:
        project.write(f"conf/provider/only_{wire}.yaml", f"name: only_{wire}\nkind: scripted\nwires: [{wire}]\n")
        project.write(f"conf/model/only_{wire}.yaml", f"name: only_{wire}\nprovider: only_{wire}\n")
    models = ",".join(f"only_{wire}" for wire in WIRES[backend])
    suite = [f"suite.backends=[{backend}]", f"suite.models=[{models}]", "suite.environments=[small_maze]"]
    done = project.pytest(*(f"--set={setting}" for setting in suite))
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    records = read(project.folder / "runs/latest/results.jsonl")
    assert {record.translated for record in records} == set(WIRES[backend])
    for record in records:
        assert (record.outcome, record.differences) == ("passed", [])
        assert f"as {record.translated}" in (record.conditions["wire"] or "")
        assert any(f"to {record.translated}; not carried: " in warning for warning in record.warnings)
