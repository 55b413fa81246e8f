"""An environment that crashes, freezes or leaks in the middle of a graded episode: what the run makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.endings import Ending
from harness.results.record import Record
from tests.support import troubled
from tests.support.struck_run import StruckProject

pytestmark = pytest.mark.nightly

TROUBLES = {
    "segfault": "its process ended (killed by SIGSEGV) during",
    "asleep": "episode 0 did not end within 5 s",
    "leak": "failed: MemoryError",
}
"""What the record says of each trouble."""

LATE = """\
from troubled import Troubled

class Late(Troubled):
    def reset(self, seed):
        self.graded, self.steps = seed >= 10_000, 0
        return super().reset(seed)

    def step(self, action):
        self.steps += 1
        if self.graded and self.steps == 3:
            self._get("late")
        return super().step(action)
"""
"""An environment that gets into trouble in the third step of a graded episode."""

ENVIRONMENT = """\
name: {name}
kind: late:Late
arguments: {{where: late, what: {what}, once: "{once}"}}
max_steps: 20
memory_mb: 512
call_s: 2
pass_solve_rate: 0
"""
APPROACH = """\
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None): pass
    def reset(self, state, info): pass
    def get_action(self, state): return 1
"""


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> StruckProject:
    """A run in which three environments always get into trouble, and three only once. It has ended."""
    struck = StruckProject(tmp_path_factory.mktemp("trouble") / "project")
    project = struck.project
    names: list[str] = []
    project.write("troubled.py", Path(troubled.__file__).read_text())
    project.write("late.py", LATE)
    project.write("good/approach.py", APPROACH)
    for what in TROUBLES:
        for name, once in ((what, ""), (f"{what}_once", struck.folder / f"{what}_happened")):
            project.write(f"conf/environment/{name}.yaml", ENVIRONMENT.format(name=name, what=what, once=once))
            names.append(name)
    project.write("conf/config.yaml", "evaluation: {episodes: 3, episode_wall_s: 3}\n")
    suite = f"name: trouble\nbackends: [claude]\nmodels: [scripted]\nenvironments: [{', '.join(names)}]\n"
    project.write("conf/suite/trouble.yaml", suite)
    struck.arguments = ("--suite", "trouble", "--submission", "good")
    struck.finish(struck.start())
    return struck


@pytest.fixture(scope="module")
def records(struck: StruckProject) -> dict[str, Record]:
    """The records of that run, by environment."""
    return {record.case.environment: record for record in struck.records().values()}


@pytest.mark.parametrize("what", TROUBLES)
def test_trouble_in_the_middle_of_an_episode_is_an_error_that_names_it(records: dict[str, Record], what: str) -> None:
    record = records[what]
    assert (record.outcome, record.ending) == ("error", Ending.ENVIRONMENT_FAILED), record.explanation
    assert record.score is None, "a failure of the environment is no unsolved episode"
    assert record.explanation.startswith(f"environment {what}: ")
    assert TROUBLES[what] in record.explanation


@pytest.mark.parametrize("what", TROUBLES)
def test_trouble_that_happens_once_costs_no_episode(
    struck: StruckProject, records: dict[str, Record], what: str
) -> None:
    record = records[f"{what}_once"]
    assert (struck.folder / f"{what}_happened").exists(), "it was in trouble"
    assert (record.outcome, record.ending) == ("passed", Ending.FINISHED), record.explanation
    assert record.score is not None
    assert record.score.episodes == 3


def test_nothing_is_left_of_environments_in_trouble(struck: StruckProject, records: dict[str, Record]) -> None:
    assert len(records) == 2 * len(TROUBLES)
    assert struck.left.found() == []
