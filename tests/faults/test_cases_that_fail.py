"""Real runs of cases that do not pass: each gets the right ending, and none gets a score of 0 that was not measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy
import pytest

from harness.case_folder import CaseFolder
from harness.endings import Cause, Ending
from tests.support.project import Project

WRONG = """\
turns:
  - calls:
      - write: approach.py
        content: |
          class GeneratedApproach:
              def __init__(self, action_space, observation_space, primitives=None):
                  pass
              def reset(self, state, info):
                  pass
              def get_action(self, state):
                  print("I go up")
                  return 0
  - text: Done.
"""
BROKEN = "turns:\n  - fail: {status: 500}\n"
MODEL = "name: {name}\nprovider: scripted\nscript: {name}\n"
SUITE = "name: faults\nbackends: [claude]\nmodels: [wrong, broken]\nenvironments: [small_maze]\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_wrong_policy_fails_and_a_broken_model_is_an_error(project: Project) -> None:
    for name, script in (("wrong", WRONG), ("broken", BROKEN)):
        project.write(f"conf/model/{name}.yaml", MODEL.format(name=name))
        project.write(f"conf/scripts/{name}.yaml", script)
    project.write("conf/suite/faults.yaml", SUITE)
    settings = ["evaluation.episodes=8", "limits.retry_s=0.1"]
    done = project.pytest("--suite", "faults", *(f"--set={setting}" for setting in settings))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 1 error" in done.stdout
    assert "Case(" not in done.stdout
    assert "Score(" not in done.stdout

    wrong = project.records["claude-wrong-small_maze"]
    assert (wrong.outcome, wrong.ending, wrong.cause) == ("failed", Ending.FINISHED, Cause.AGENT)
    assert wrong.score is not None
    assert wrong.score.episodes == 8
    assert wrong.score.solve_rate < 0.9
    solved = wrong.score.solved
    assert wrong.explanation == f"{solved} of 8 solved, 8 needed; {8 - solved} unsolved"
    failure = done.stdout.partition("= FAILURES =")[2].partition("= cases =")[0].splitlines()
    assert wrong.explanation in failure
    assert len(failure) < 15
    assert f"{project.folder}/runs/" in done.stdout

    assert wrong.started_at is not None
    assert abs((datetime.now(UTC) - datetime.fromisoformat(wrong.started_at)).total_seconds()) < 600
    assert (wrong.overrides, wrong.options) == (settings, ["--suite=faults"])
    assert (wrong.pass_solve_rate, wrong.max_steps) == (0.9, 100)
    assert wrong.environment_arguments == {"min_size": 3, "max_size": 5}
    kept = CaseFolder(project.folder / "runs/latest/claude-wrong-small_maze")
    assert json.loads(kept.packages.read_bytes())["numpy"] == numpy.__version__
    assert "  I go up" in kept.policy_log.read_text()

    broken = project.records["claude-broken-small_maze"]
    assert (broken.outcome, broken.ending, broken.cause) == ("error", Ending.MODEL_ERROR, Cause.MODEL)
    assert broken.score is None
    assert broken.usage.metered is not None
    assert broken.usage.metered.turns == 0
    assert "500" in broken.explanation
    assert "model_error" in done.stdout


OWN = """\
def test_quick_enough(case, score):
    assert score.solve_rate == 1.0
    assert score.mean_steps < 0, "too slow"
"""


def test_an_assertion_of_a_users_own_test_shows_as_itself(project: Project) -> None:
    project.write("test_own.py", OWN)
    done = project.pytest("test_own.py", "--backend", "claude", "--environment", "small_maze")
    assert "AssertionError: too slow" in done.stdout
    (record,) = project.records.values()
    assert (record.outcome, record.ending) == ("failed", Ending.FINISHED)
    assert record.explanation == "AssertionError: too slow"
    assert record.score is not None
    assert record.score.solve_rate == 1.0


@pytest.mark.parametrize("backend", ["claude", pytest.param("opencode", marks=pytest.mark.nightly)])
def test_a_turn_limit_of_one_ends_the_session_after_exactly_one_response(project: Project, backend: str) -> None:
    settings = ("--set=limits.turns=1", "--set=evaluation.episodes=2")
    done = project.pytest("--backend", backend, "--environment", "small_maze", *settings)
    assert "1 failed" in done.stdout
    [record] = project.records.values()
    assert (record.ending, record.cause, record.outcome) == (Ending.TURN_LIMIT, Cause.LIMIT, "failed")
    assert record.usage.metered is not None
    assert record.usage.reported is not None
    assert (record.usage.metered.turns, record.usage.reported.turns) == (1, 1)
    assert record.score is not None
    assert (record.score.solve_rate, record.score.reason) == (0.0, "no submission: approach.py is missing")
    assert "no submission" in record.explanation
    ledger = project.folder / "runs/latest" / (record.artifacts or "") / "gateway.jsonl"
    answered = [json.loads(line) for line in ledger.read_text().splitlines()]
    first, *others = [line["refused"] for line in answered if line["kind"] == "turn"]
    assert (first, {*others}) == (None, {"turn_limit"}), "a CLI may ask again"
