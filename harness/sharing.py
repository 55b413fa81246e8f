"""Decides which tests share a session of a case's agent, and how the folders of the sessions are called."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest

from harness.stash import DIST, case_of, cases_of

FRESH = "fresh_session"
"""The marker of a test that gets a session of its own."""

MARKER = f"{FRESH}: the test gets a session of its own, and does not share the one of the other tests on its case"

_INGREDIENTS = (
    "case",
    "backend",
    "cli",
    "environment",
    "sandbox",
    "gateway",
    "model_server",
    "mcp_config",
    "submission",
)
"""The fixtures that a session is made of."""

_OURS = ("harness.fixtures", "harness.given_submission")
"""The modules of Proctor's own fixtures."""


def name_folders(items: Iterable[pytest.Item]) -> dict[pytest.Item, str]:
    """Return the name of the folder of its session for each test that uses one.

    The tests of a case share a session, so they have the same folder. It is named after the case. Further sessions of
    the case have a number: `CASE.2`.
    """
    names: dict[tuple[str, ...], str] = {}
    folders: dict[pytest.Item, str] = {}
    taken: set[str] = set()
    for item in items:
        case = case_of(item)
        if case is not None and "submission" in getattr(item, "fixturenames", ()):
            taken = taken or {case.id for case in cases_of(item.config)}
            key = (case.id, *_apart(item))
            if key not in names:
                first = not any(case.id == other for other, *_ in names)
                names[key] = case.id if first else next(n for n in numbered(case.id) if n not in taken)
                taken.add(names[key])
            folders[item] = names[key]
    return folders


def numbered(name: str) -> Iterable[str]:
    """Yield `NAME.2`, `NAME.3` and so on."""
    return (f"{name}.{number}" for number in count(2))


def _apart(item: pytest.Item) -> tuple[str, ...]:
    """Return what tells a test from the tests of its case that it does not share a session with.

    Only tests that run in the same worker share a session, and `--dist` decides which tests do. A test with a fixture
    `submission` that replaces Proctor's runs no agent, so it shares nothing.
    """
    alone = (item.nodeid,)
    replaced = _replaced(item)
    if item.get_closest_marker(FRESH) is not None or replaced is None:
        return alone
    match getattr(item.config, "workerinput", {}).get(DIST, "no"):
        case "no" | "load":
            return replaced
        case "loadgroup":
            groups = sorted(str(mark.args or mark.kwargs) for mark in item.iter_markers("xdist_group"))
            return (*replaced, *groups)
        case "loadfile":
            return (*replaced, item.nodeid.partition("::")[0])
        case "loadscope":
            return (*replaced, item.nodeid.rpartition("::")[0])
    return alone


def _replaced(item: pytest.Item) -> tuple[str, ...] | None:
    """Return the fixtures and parameters by which the session of a test differs from that of its case.

    These are fixtures of the project that override Proctor's. Return `None` if the test runs no agent, because one of
    them overrides `submission` without using it.
    """
    overriding: list[str] = []
    needed = set(_INGREDIENTS)
    for name in _INGREDIENTS:
        for fixture in _fixtures(item, name):
            if fixture.func.__module__ in _OURS:
                break
            if name == "submission" and name not in fixture.argnames:
                return None
            overriding.append(f"{name} of {fixture.baseid}")
            needed |= _needed_by(item, fixture)
    values: dict[str, object] = item.callspec.params  # type: ignore[attr-defined]  # a test of a case has parameters
    varied = sorted(f"{name} {id(value)}" for name, value in values.items() if name in needed and name != "case")
    return (*overriding, *varied)


def _fixtures(item: pytest.Item, name: str) -> list[pytest.FixtureDef[Any]]:
    """Return the fixtures of this name that a test sees. The first one overrides the others."""
    return list(reversed(item.session._fixturemanager.getfixturedefs(name, item) or ()))


def _needed_by(item: pytest.Item, fixture: pytest.FixtureDef[Any]) -> set[str]:
    """Return the names of everything that a fixture depends on."""
    names: set[str] = set()
    new = set(fixture.argnames)
    while new:
        names |= new
        new = {needed for name in new for other in _fixtures(item, name) for needed in other.argnames} - names
    return names
