"""A mistake in the configuration ends pytest with exit code 4 and one line, whatever else the command line says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import Project

MISTAKES = {
    "conf/scripts/small_maze.yaml": "turns: [{calls: [{tool: nonesuch}]}]\n",
    "conf/model/scripted.yaml": "name: scripted\nprovider: scripted\nscript: scripts/nonesuch.yaml\n",
    "conf/backend/claude.yaml": "name: claude\noptions: {nonesuch: 1}\n",
    "conf/known_failures.yaml": "- {case: claude-*, reason: It is slow, until: 2999-12-31, nonesuch: 1}\n",
    "conf/environment/small_maze.yaml": "name: small_maze\nkind: maze\narguments: {min_size: 3, nonesuch: 5}\n",
}


@pytest.mark.parametrize("file", MISTAKES)
@pytest.mark.parametrize("arguments", [("--collect-only",), ("-n", "1", "--suite", "default")], ids=" ".join)
def test_a_mistake_is_a_usage_error(tmp_path: Path, file: str, arguments: tuple[str, ...]) -> None:
    project = Project(tmp_path)
    project.write(file, MISTAKES[file])
    done = project.pytest("-q", *arguments)
    assert done.returncode == 4, done.stdout + done.stderr
    [said] = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR: ")]
    assert said.startswith(f"ERROR: {file}: ")
    assert "nonesuch" in said
    assert "Traceback" not in done.stdout + done.stderr
