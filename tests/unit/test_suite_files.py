"""Every shipped suite can run unchanged."""

from __future__ import annotations

import pytest

from backends.registry import names
from harness.case import Case
from harness.suite.config import load
from harness.suite.matrix import cases
from harness.suite.scripts import script_of
from tests.support.played import PLAYED
from tests.support.project import CONF, ROOT

SUITES = sorted(path.stem for path in (ROOT / "conf/suite").glob("*.yaml"))
BACKENDS = set(names())
NIGHTLY = {"small_maze", "large_maze", "motion2d_easy", "motion2d_medium", "motion2d_hard"}


def of(suite: str) -> list[Case]:
    return cases(load(CONF, suite))


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_has_cases_with_unique_ids(suite: str) -> None:
    ids = [case.id for case in of(suite)]
    assert ids
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("suite", SUITES)
def test_each_scripted_case_has_its_script(suite: str) -> None:
    assert all(script_of(case, CONF).is_file() for case in of(suite) if case.provider.kind == "scripted")


@pytest.mark.parametrize(("suite", "backends"), [("pr", set(PLAYED)), ("smoke", BACKENDS)])
def test_the_quick_suites_need_no_server(suite: str, backends: set[str]) -> None:
    assert {case.backend.name for case in of(suite)} == backends
    assert all(case.server is None and case.provider.key_variable is None for case in of(suite))


def test_the_smoke_suite_has_one_case_per_backend() -> None:
    assert len(of("smoke")) == len(BACKENDS)


def test_the_agents_suite_has_every_backend_on_three_problems() -> None:
    assert len(of("agents")) == 3 * len(BACKENDS)


def test_the_nightly_suite_repeats_every_backend_with_gpu_models() -> None:
    nightly = of("nightly")
    assert {case.backend.name for case in nightly} == BACKENDS - {"gemini"}, "Ollama does not speak its only wire"
    assert {case.environment.name for case in nightly} == NIGHTLY
    assert {case.replicate for case in nightly} == {1, 2}
    assert all(case.server is not None and case.server.gpus for case in nightly)
