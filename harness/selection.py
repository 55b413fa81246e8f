"""Decides which tests run. If the command line asks for cases and gives no path, only the cases run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from _pytest.mark.expression import Expression

from harness.options import command_line
from harness.stash import case_of, cases_of, has_run, run_of

if TYPE_CHECKING:
    from harness.case import Case

TESTPATHS = "proctor_testpaths"
"""The ini option with the folders and files of the tests that run cases."""

_ASKED_FOR = pytest.StashKey[bool]()


def asks_for_case(metafunc: pytest.Metafunc) -> bool:
    """Return whether a test asks for Proctor's `case`, and not for a fixture or parameter of another project."""
    if "case" not in metafunc.fixturenames:
        return False
    for fixture in reversed(metafunc._arg2fixturedefs.get("case", ())):
        if getattr(fixture.func, "__module__", None) == "harness.fixtures":
            metafunc.config.stash[_ASKED_FOR] = True
            return True
        if "case" not in fixture.argnames:  # it overrides Proctor's fixture without using it
            return False
    return False


def start_at_cases(config: pytest.Config) -> None:
    """Collect only the cases if they are asked for without a path and the project says where they are.

    A resumed run knows the files of its tests.
    """
    if command_line(config).resume is not None:
        return
    places = config.getini(TESTPATHS)
    if places and not _has_path(config) and (command_line(config).selects_cases or _keyword_means_cases(config)):
        config.args = [str(place) for place in places]


def keep_cases(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect all other tests if cases are asked for without a path, by an option or by a -k that names one."""
    cases = [(item, case) for item in items if (case := case_of(item)) is not None]
    words = _words(config.getoption("keyword", ""))
    named = any(words & _names(case) for _, case in cases)
    if not _has_path(config) and (command_line(config).selects_cases or named):
        kept = {item: None for item, _ in cases}
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def why_none(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    """Return why no case runs, or `None` if one runs or cases were not asked for."""
    given = command_line(config)
    if any(case_of(item) is not None for item in items) or not (given.selects_cases or has_run(config)):
        return None
    if given.resume is not None:  # the header says how many are left
        return None
    run = run_of(config)
    if run.nothing is not None:
        return run.nothing.reason
    if not given.selects_cases:
        return None
    number = f"{len(run.cases)} case{'s' if len(run.cases) > 1 else ''} of suite {run.suite}"
    if not config.stash.get(_ASKED_FOR, False):
        return f"none of the collected tests asks for `case`, so the {number} did not run"
    options = {"-k": config.getoption("keyword", ""), "-m": config.getoption("markexpr", "")}
    by = " ".join(f"{option} {text!r}" for option, text in options.items() if text)
    return f"none of the {number} was selected{f' by {by}' if by else ''}"


def _has_path(config: pytest.Config) -> bool:
    return config.args_source is pytest.Config.ArgsSource.ARGS


def _keyword_means_cases(config: pytest.Config) -> bool:
    """Return whether -k selects a case and names it, or its backend, model or environment.

    Return `False` if that depends on the other tests, as it does with `not` or -m. Then everything is collected, and
    `keep_cases` decides.
    """
    text = config.getoption("keyword", "")
    words = _words(text)
    others = config.getoption("markexpr", "") or config.getoption("lf", False)
    if not words or "not" in words or others or config.invocation_params.dir != config.rootpath:
        return False
    try:
        expression = Expression.compile(text)
    except SyntaxError:  # pytest reports it later
        return False

    def selects(case: Case) -> bool:
        def matches(word: str, /, **_: object) -> bool:
            return word.lower() in case.id.lower()

        return expression.evaluate(matches)

    return any(words & _names(case) and selects(case) for case in cases_of(config))


def _words(expression: str) -> set[str]:
    return set(re.findall(r"[\w.-]+", expression))


def _names(case: Case) -> set[str]:
    """Return the words by which a -k expression names a case."""
    return {case.id, case.backend.name, case.model.name, case.environment.name}
