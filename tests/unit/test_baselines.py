"""The baselines `random`, `reference` and `direct`, through the same pipeline and ledger as agents."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from backends.direct import BACKEND
from harness.case_folder import CaseFolder
from harness.endings import Ending
from harness.results.record import CaseUsage, Record
from harness.transcript.read import read_transcripts
from harness.transcript.turns import Said, Turn
from tests.support.project import Project

GOOD = (Path(__file__).parents[1] / "security/good_policy.py").read_text()
WRONG = "class GeneratedApproach:\n    pass\n"
FAILING = {
    "unknown_key": ("{status: 401, message: no such key}", [Ending.AUTH_FAILED]),
    "broken": ("{status: 500, times: 1}", [Ending.MODEL_ERROR, Ending.FINISHED]),
}
"""Models that fail: how they fail, and how the attempts at their case end."""


def writing(*sources: str) -> str:
    """Return turns that each write `approach.py`."""
    turns = (
        f"  - calls:\n      - write: approach.py\n        content: |\n{indent(source, ' ' * 10)}\n"
        for source in sources
    )
    return "".join(turns)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which each baseline has run on one maze."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.write("policies/small_maze/approach.py", GOOD)
    project.write(
        "conf/environment/own_world.yaml", "name: own_world\nkind: maze\narguments: {min_size: 3, max_size: 3}\n"
    )
    project.write("lab/__init__.py", "")
    project.write("lab/oracles.py", GOOD.replace("class GeneratedApproach", "class MazeOracle"))
    oracle = "name: oracle\nkind: program\noptions: {program: 'lab.oracles:MazeOracle'}\n"
    project.write("conf/backend/oracle.yaml", oracle)
    project.write("conf/scripts/small_maze.yaml", f"turns:\n{writing(WRONG, GOOD)}")
    for name, (fail, _) in FAILING.items():
        project.write(f"conf/model/{name}.yaml", f"name: {name}\nprovider: scripted\nscript: {name}\n")
        project.write(f"conf/scripts/{name}.yaml", f"turns:\n  - fail: {fail}\n{writing(GOOD)}")
    project.write(
        "conf/suite/compared.yaml",
        "name: compared\nbackends: [random, reference, oracle, direct]\nmodels: [scripted, unknown_key, broken]\n"
        "environments: [small_maze, own_world]\nexclude: [{environment: own_world, backend: direct}, "
        "{environment: own_world, backend: oracle}]\n",
    )
    settings = ("evaluation.episodes=3", "backend.direct.options.best_of=2", "limits.retry_s=0.01")
    done = project.pytest("--suite", "compared", *(f"--set={setting}" for setting in settings), "-k", "not random-own")
    assert "reference-own_world" in project.records, done.stdout + done.stderr
    return project


def record_of(project: Project, case: str) -> Record:
    return project.records[case]


def test_a_backend_without_a_model_has_one_case_for_each_environment(project: Project) -> None:
    assert set(project.records) == {
        "random-small_maze",
        "reference-small_maze",
        "reference-own_world",
        "oracle-small_maze",
        *(f"direct-{model}-small_maze" for model in ("scripted", *FAILING)),
    }


@pytest.mark.parametrize("backend", ["random", "reference", "oracle"])
def test_a_program_is_graded_without_an_agent(project: Project, backend: str) -> None:
    record = record_of(project, f"{backend}-small_maze")
    assert (record.attempts, record.usage, record.versions.cli) == ([], CaseUsage(), None)
    assert record.ending is Ending.FINISHED
    assert record.score is not None
    assert record.score.crashed == 0
    assert record.score.solve_rate == 1 or backend == "random"
    assert record.submission is not None
    assert {"oracle": "lab/oracles.py"}.get(backend, "approach.py") in record.submission["files"]


def test_a_missing_program_skips_its_case_and_says_where_it_belongs(project: Project) -> None:
    record = record_of(project, "reference-own_world")
    assert (record.outcome, record.ending) == ("skipped", Ending.UNAVAILABLE)
    assert f"{project.folder / 'policies/own_world'} does not exist" in record.explanation


def test_the_better_of_two_completions_is_graded_and_both_are_counted(project: Project) -> None:
    record = record_of(project, "direct-scripted-small_maze")
    assert record.outcome == "passed"
    assert [(tried.folder, tried.solved, tried.chosen) for tried in record.candidates] == [
        ("candidate-1", 0, False),
        ("candidate-2", 5, True),
    ]
    assert record.submission is not None
    assert record.submission["digest"] == record.candidates[1].digest
    metered, reported = record.usage.metered, record.usage.reported
    assert metered is not None
    assert reported is not None
    assert (metered.turns, metered.tool_calls) == (reported.turns, reported.tool_calls) == (2, 0)
    assert (metered.input_tokens, metered.output_tokens) == (reported.input_tokens, reported.output_tokens)
    assert record.differences == []
    assert record.conditions["tools_sent"] is not None


def test_each_completion_is_a_turn_of_the_transcript(project: Project) -> None:
    folder = CaseFolder(project.folder / "runs/latest/direct-scripted-small_maze")
    [transcript] = read_transcripts(folder, BACKEND)
    turns = [entry for entry in transcript.thread.entries if isinstance(entry, Turn)]
    texts = ["".join(part.text for part in turn.parts if isinstance(part, Said)) for turn in turns]
    assert [GOOD in text for text in texts] == [False, True]
    prompt = folder.prompt.read_text()
    assert "# How to answer" in prompt
    assert "render_state" not in prompt


@pytest.mark.parametrize("model", FAILING)
def test_a_failed_request_ends_as_an_agents_does(project: Project, model: str) -> None:
    record = record_of(project, f"direct-{model}-small_maze")
    assert [attempt.ending for attempt in record.attempts] == FAILING[model][1]
    assert record.ending is FAILING[model][1][-1]


def test_all_means_every_agent_and_no_baseline(project: Project) -> None:
    done = project.pytest("--suite", "smoke", "--collect-only", "-q")
    backends = [line.partition("[")[2].partition("-")[0] for line in done.stdout.splitlines() if "::" in line]
    assert {"claude", "codex", "opencode", "pi"} <= set(backends)
    assert not {"random", "reference", "direct", "per_instance"} & set(backends)
