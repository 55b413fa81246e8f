"""A case that needs a missing capability is refused at collection."""

from __future__ import annotations

import pytest

from harness.endings import ConfError
from harness.suite.config import load
from harness.suite.matrix import cases
from tests.support.project import CONF

NEEDS_MCP = [
    "suite.backends=[claude,pi]",
    "suite.environments=[small_maze,motion2d_easy]",
    "environment.small_maze.needs_mcp=true",
]


def test_an_environment_that_needs_mcp_is_refused_for_a_backend_without_it() -> None:
    with pytest.raises(ConfError) as refused:
        cases(load(CONF, "default", NEEDS_MCP))
    said = str(refused.value)
    assert said.startswith("conf/suite/default.yaml: pi-scripted-small_maze cannot run")
    assert "environment.small_maze.needs_mcp" in said
    assert "pi does not support it" in said
    assert "{backend: pi, environment: small_maze}" in said


def test_a_case_that_needs_mcp_may_be_excluded() -> None:
    exclude = "suite.exclude=[{backend: pi, environment: small_maze}]"
    found = [case.id for case in cases(load(CONF, "default", [*NEEDS_MCP, exclude]))]
    assert found == ["claude-scripted-small_maze", "claude-scripted-motion2d_easy", "pi-scripted-motion2d_easy"]


def test_mcp_is_needed_only_if_the_environment_says_so() -> None:
    found = cases(load(CONF, "default", NEEDS_MCP[:2]))
    assert {case.backend.name for case in found} == {"claude", "pi"}
