"""A case that needs a missing capability is refused at collection."""

from __future__ import annotations

import msgspec
import pytest

from backends.pi import BACKEND
from backends.registry import backend, names
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


@pytest.mark.parametrize(
    ("wanted", "lacking", "said"),
    [
        ("compact", {"compact": False}, "pi cannot compact a conversation that it resumes"),
        ("compact", {"resume": False}, "pi cannot resume a conversation"),
        ("continue", {"resume": False}, "pi cannot resume a conversation"),
    ],
)
def test_going_on_after_an_overflow_is_refused_for_a_backend_that_cannot(
    monkeypatch: pytest.MonkeyPatch, wanted: str, lacking: dict[str, bool], said: str
) -> None:
    monkeypatch.setattr(type(BACKEND), "capabilities", msgspec.structs.replace(BACKEND.capabilities, **lacking))
    settings = ["suite.backends=[claude,pi]", f"limits.on_overflow={wanted}"]
    with pytest.raises(ConfError, match=rf"^conf/config\.yaml: limits\.on_overflow is {wanted}, and {said}: .*"):
        cases(load(CONF, "default", settings))
    assert cases(load(CONF, "default", [*settings, "suite.exclude=[{backend: pi}]"]))


@pytest.mark.parametrize("wanted", ["end", "compact", "continue"])
def test_the_backends_that_can_go_on_after_an_overflow_are_those_that_say_so(wanted: str) -> None:
    able = [name for name in names() if {"end": True, "continue": resumes(name), "compact": compacts(name)}[wanted]]
    settings = [f"suite.backends=[{','.join(able)}]", f"limits.on_overflow={wanted}"]
    assert {case.backend.name for case in cases(load(CONF, "default", settings))} == set(able)


def resumes(name: str) -> bool:
    return backend(name).capabilities.resume


def compacts(name: str) -> bool:
    return backend(name).capabilities.compact and resumes(name)
