"""A test of cases whose agents only end, as files in the project's root folder say."""

from __future__ import annotations

from tests.support.project import Project

TEST = """\
import os
import signal

import pytest

from harness.stash import BUILDER

def said(request, word):
    file = request.config.rootpath / word
    return file.read_text().split() if file.exists() else []

@pytest.fixture
def submission(request, case):
    with open(request.config.rootpath / "ran", "a") as file:
        file.write(f"{case.id}\\n")
    request.node.stash[BUILDER].folder.path.mkdir(parents=True)
    if case.id in said(request, "killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if case.id in said(request, "interrupted"):
        raise KeyboardInterrupt
    if case.id in said(request, "broken"):
        raise RuntimeError("the model is away")

def test_case(request, case, submission):
    assert case.id not in said(request, "bad")
"""
FIRST, SECOND, THIRD, FOURTH = (
    f"{backend}-scripted-{environment}"
    for backend in ("claude", "opencode")
    for environment in ("small_maze", "motion2d_easy")
)
"""The cases of the default suite, in order."""


def ran(project: Project) -> list[str]:
    """Return what ran since the last call."""
    file = project.folder / "ran"
    names = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return names
