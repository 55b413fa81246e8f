"""Suites whose budget does not last: real CLIs, in one process and in several."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from harness.cache import user_cache
from harness.gateway.purses import budget_file
from tests.support.project import Project

MODEL = "name: scripted\nprovider: scripted\nscript: busy\nprice: {input: 3, output: 0.1}\n"
SUITE = "name: tight\nbackends: [claude]\nmodels: [scripted]\nenvironments: [small_maze]\n"
BUSY = "turns:\n  - calls: [{run: 'true'}]\n  - calls: [{run: 'true'}]\n  - text: I hand in nothing.\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose user has a cache with the CLIs, and without a budget so far."""
    installed, cache = user_cache(), tmp_path / "cache"
    (cache / "proctor").mkdir(parents=True)
    if (installed / "clis").exists():
        (cache / "proctor/clis").symlink_to(installed / "clis")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    (tmp_path / "project").mkdir()
    made = Project(tmp_path / "project")
    made.write("conf/model/scripted.yaml", MODEL)
    made.write("conf/scripts/busy.yaml", BUSY)
    return made


def in_the_file(what: str) -> list[int]:
    with closing(sqlite3.connect(budget_file())) as database:
        return [*database.execute(what).fetchone()]


def test_a_case_is_cut_and_the_others_do_not_begin(project: Project) -> None:
    project.write("conf/suite/tight.yaml", f"{SUITE}replicates: 4\nbudget: {{requests: 1}}\n")
    done = project.pytest("--suite", "tight")
    records = [*project.records.values()]
    assert [(one.ending, one.outcome) for one in records] == [("budget_spent", "skipped")] * 4, done.stdout
    assert [one.usage.metered is None for one in records] == [False, True, True, True], "three did not begin"
    assert {one.explanation for one in records} == {"suite.budget.requests is 1, and 1 are used"}
    assert "suite.budget: 1 of 1 requests used, 0 left" in done.stdout
    assert (
        f"4 cases could not be measured: `pytest --resume {(project.folder / 'runs/latest').readlink()}`" in done.stdout
    )
    assert "every case was skipped: nothing was measured" in done.stdout


@pytest.mark.nightly
def test_workers_spend_half_of_what_a_suite_needs_and_a_resumed_run_the_rest(project: Project) -> None:
    project.write("conf/suite/tight.yaml", f"{SUITE}replicates: 12\nbudget: {{cost_usd: 0.36}}\n")  # they need $0.71
    done = project.pytest("--suite", "tight", "-n", "2")
    outcomes = Counter(one.outcome for one in project.records.values())
    assert outcomes["failed"] + outcomes["skipped"] == 12
    assert 3 <= outcomes["failed"] <= 6, done.stdout
    cost, tokens, requests = in_the_file("SELECT cost, tokens, requests FROM purse")
    assert 0.2e9 < cost <= 0.36e9
    assert tokens > requests > 9
    assert in_the_file("SELECT count(*) FROM reservation") == in_the_file("SELECT count(*) FROM holder") == [0]
    metered = [one.usage.metered for one in project.records.values() if one.usage.metered is not None]
    assert sum(one.cost_usd or 0 for one in metered) == pytest.approx(cost / 1e9)
    project.write("conf/suite/tight.yaml", f"{SUITE}replicates: 12\nbudget: {{cost_usd: 2}}\n")
    project.pytest("--resume", "latest", "-n", "2")
    assert Counter(one.outcome for one in project.records.values()) == {"failed": 12}
    assert in_the_file("SELECT count(*) FROM purse") == [1]
