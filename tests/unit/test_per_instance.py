"""The backend `per_instance`: an agent sees the one instance that its program must solve."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent

import pytest

from backends.registry import own_names
from harness.endings import Ending
from harness.evaluation.seeds import episode_seeds
from harness.results.record import Record
from harness.seed_key import PUBLIC
from tests.support.project import Project

GOOD = (Path(__file__).parents[1] / "security/good_policy.py").read_text()
SCRIPT = (
    f"turns:\n  - calls:\n      - write: approach.py\n        content: |\n{indent(GOOD, ' ' * 10)}\n  - text: Done.\n"
)


def prompts(record: Record, runs: Path) -> list[str]:
    """Return the prompt of each session, in their order."""
    folder = runs / "latest" / str(record.artifacts)
    earlier = [folder / f"attempt-{number}/prompt.md" for number in range(1, len(record.attempts))]
    return [path.read_text() for path in (*earlier, folder / "prompt.md")]


@pytest.mark.parametrize(
    "agent", [pytest.param(name, marks=() if name == "claude" else pytest.mark.nightly) for name in own_names()]
)
def test_each_instance_has_a_session_and_all_share_the_limits(tmp_path: Path, agent: str) -> None:
    project = Project(tmp_path)
    project.write("conf/scripts/small_maze.yaml", SCRIPT)
    settings = (f"backend.per_instance.options.agent={agent}", "backend.per_instance.options.instances=3")
    limits = ("limits.turns=3", "environment.small_maze.pass_solve_rate=0.6")  # a session takes two turns
    arguments = [f"--set={setting}" for setting in (*settings, *limits)]
    done = project.pytest("--suite=baselines", "--backend=per_instance", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr

    [record] = project.records.values()
    assert (record.case.id, record.agent) == ("per_instance-scripted-small_maze", agent)
    assert record.ending is Ending.TURN_LIMIT
    told = [(one.index, one.ending, one.attempts, one.outcome) for one in record.instances]
    assert told == [
        (0, Ending.FINISHED, 1, "solved"),
        (1, Ending.TURN_LIMIT, 1, "solved"),
        (2, None, 0, "unsolved"),
    ]
    assert record.instances[2].explanation.startswith("not attempted: ")
    assert record.score is not None
    assert (record.score.solved, record.score.episodes) == (2, 3)
    assert record.usage.metered is not None
    assert record.usage.metered.turns == 3
    assert sum(one.usage.metered.turns for one in record.instances if one.usage.metered) == 3
    assert record.differences == []

    folder = project.folder / "runs/latest" / str(record.artifacts)
    episodes = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert [(one["index"], one["outcome"]) for one in episodes] == [(0, "solved"), (1, "solved"), (2, "unsolved")]
    assert sorted(path.name for path in (folder / "submission").iterdir()) == ["000", "001"]

    first, second = prompts(record, project.folder / "runs")
    assert "This is instance 1 of 3." in first
    assert "This is instance 2 of 3." in second
    seen = [json.loads(prompt.partition("```json\n")[2].partition("\n")[0]) for prompt in (first, second)]
    assert all({"agent", "goal", "obstacles"} <= set(observation) for observation in seen)
    assert seen[0] != seen[1]
    for seed in episode_seeds(PUBLIC, "small_maze", 3):
        assert str(seed) not in first + second


def test_an_agent_that_does_not_exist_is_a_mistake(tmp_path: Path) -> None:
    project = Project(tmp_path)
    arguments = ("--suite=baselines", "--set=backend.per_instance.options.agent=nobody", "--collect-only")
    done = project.pytest(*arguments)
    assert done.returncode == 4
    assert "conf/backend/per_instance.yaml: backend.per_instance.options.agent: there is no backend 'nobody'" in (
        done.stdout + done.stderr
    )
