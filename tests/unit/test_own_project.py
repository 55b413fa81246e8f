"""A project without a copy of Proctor's configuration runs its own environments and backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.endings import Ending
from tests.support.own_project import OwnProject


@pytest.fixture
def project(tmp_path: Path) -> OwnProject:
    return OwnProject(tmp_path)


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["plain", "xdist"])
def test_its_backend_solves_its_environment_with_its_script(project: OwnProject, workers: list[str]) -> None:
    done = project.pytest("--suite", "mine", *workers)
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = project.records.values()
    assert (record.case.id, record.ending) == ("lean-scripted-door", Ending.FINISHED)
    assert record.score is not None
    assert (record.score.solved, record.score.episodes) == (3, 3), "three episodes, as its conf/config.yaml says"
