"""Episodes are played side by side, and the result does not depend on how many."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from textwrap import dedent, indent

import pytest
from msgspec.structs import replace

from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.environments.hosts import EnvironmentFailed
from harness.evaluation.lanes import cores_each
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.printed import PolicyLog
from harness.evaluation.rollout import evaluate
from harness.evaluation.submission import collect
from harness.grading import EvaluationConf
from tests.support.sandboxes import bubblewrap
from tests.support.troubled_project import troubled_project

Play = Callable[..., list[Episode]]

CONF = EvaluationConf(episode_wall_s=20.0)


@pytest.fixture(scope="module")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with troubled_project(tmp_path_factory.mktemp("project")):
        yield


@pytest.fixture
def play(_project: None, tmp_path: Path) -> Play:
    """Grade a policy with this body of `get_action` and this code at its beginning. Return its episodes."""

    def play(
        body: str,
        head: str = "",
        *,
        side_by_side: int = 1,
        episodes: int = 6,
        conf: EvaluationConf = CONF,
        **trouble: str,
    ) -> list[Episode]:
        run = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        (run / "workspace").mkdir(parents=True)
        (run / "workspace/approach.py").write_text(
            f"import os, random, threading, time\n{head}\nclass GeneratedApproach:\n"
            "    def __init__(self, action_space, observation_space, primitives=None):\n        self.memory = []\n"
            "    def reset(self, state, info):\n        self.first = state\n"
            f"    def get_action(self, state):\n{indent(dedent(body), ' ' * 8)}\n"
        )
        mine = EnvironmentConf("mine", "troubled:Troubled", {**trouble}, 8, call_s=2.0)
        with closing(make_environment(mine)) as environment:
            _score, played = evaluate(
                environment,
                collect(run / "workspace", run / "submission"),
                bubblewrap(),
                conf=replace(conf, episodes=episodes, side_by_side=side_by_side),
                seeds=range(50, 50 + episodes),
                scratch=run / "scratch",
                files=CaseFolder(run),
                log=PolicyLog(run / "policy.log"),
                progress=lambda _done, _scheduled: None,
            )
        assert list((run / "scratch").iterdir()) == []
        return [dataclasses.replace(episode, seconds=0.0) for episode in played]

    return play


REMEMBERS = """
COUNT.append(1)
self.memory.append(state)
time.sleep(0.02)
return (len(COUNT) + len(self.memory) + random.randrange(4)) % 4
"""


PLAIN = "COUNT = []; random.seed(7)"
THREADS = f"{PLAIN}; threading.Thread(target=threading.Event().wait, daemon=True).start()"


@pytest.mark.parametrize(("head", "episodes"), [(PLAIN, 6), (THREADS, 3)], ids=["plain", "threads"])
def test_a_policy_remembers_nothing_so_the_result_is_the_same_for_any_number(
    play: Play, head: str, episodes: int
) -> None:
    alone = play(REMEMBERS, head, episodes=episodes)
    assert [episode.index for episode in alone] == list(range(episodes))
    assert alone == play(REMEMBERS, head, episodes=episodes, side_by_side=3)


@pytest.mark.nightly
def test_the_rest_is_given_up_after_the_same_timeouts_for_any_number(play: Play) -> None:
    for side_by_side in (1, 3):
        played = play(
            "time.sleep(3600)", episodes=8, conf=EvaluationConf(episode_wall_s=0.5), side_by_side=side_by_side
        )
        assert {episode.outcome for episode in played} == {EpisodeOutcome.TIMED_OUT}
        given_up = [episode.error == "not attempted after 3 timeouts in a row" for episode in played]
        assert given_up == [False] * 3 + [True] * 5


@pytest.mark.nightly
@pytest.mark.parametrize("what", ["exit", "raise", "asleep"])
def test_an_episode_in_which_the_environment_fails_is_played_again(play: Play, tmp_path: Path, what: str) -> None:
    well = play("return 1", episodes=3)
    conf = EvaluationConf(episode_wall_s=1.0)
    assert play("return 1", episodes=3, conf=conf, where="step", what=what, once=str(tmp_path / "once")) == well


def test_a_policy_that_carries_over_remembers_every_episode_before_even_one_in_which_it_failed(play: Play) -> None:
    counts = "COUNT.append(1); raise RuntimeError(len(COUNT))"
    alone = play(counts, "COUNT = []", episodes=3, side_by_side=3)
    assert {(episode.error or "").splitlines()[-1] for episode in alone} == {"RuntimeError: 1"}
    carried = play(counts, "COUNT = []", episodes=3, side_by_side=3, conf=EvaluationConf(carry_over=True))
    assert [(episode.error or "").splitlines()[-1] for episode in carried] == [f"RuntimeError: {n}" for n in (1, 2, 3)]


def test_one_action_may_take_no_longer_than_the_limit_for_a_step(play: Play) -> None:
    conf = EvaluationConf(episode_wall_s=30.0, step_wall_s=0.4)
    [episode] = play("time.sleep(3600)", episodes=1, conf=conf)
    assert episode.outcome is EpisodeOutcome.TIMED_OUT
    assert episode.error == "over the limit of 0.4 s for a step: no answer to 'act' within 0.4 s"


def test_what_has_not_ended_when_grading_has_taken_its_time_counts_as_timed_out(play: Play) -> None:
    played = play("return 0", episodes=5, side_by_side=2, conf=EvaluationConf(wall_s=0.01))
    assert {episode.outcome for episode in played} == {EpisodeOutcome.TIMED_OUT}
    over = "not attempted, or not to its end: grading took its 0.01 s (evaluation.wall_s)"
    assert {episode.error for episode in played} == {over}


def test_a_world_that_cannot_be_reset_is_no_fault_of_the_policy(play: Play) -> None:
    with pytest.raises(EnvironmentFailed, match=r"mine: episode 0 failed: RuntimeError: the simulator broke"):
        play("return 0", episodes=2, where="reset", what="raise")


def test_an_environment_that_fails_twice_ends_the_case(play: Play, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"mine: its process ended \(exit code 3\) during episode 0"):
        play("print('here')\nreturn 1", where="step", what="exit")
    [log] = tmp_path.glob("run*/policy.log")
    assert log.read_text() == "--- episode 0: it did not end ---\n  here\n"


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    for workers, share in (("1", 8), ("3", 2), ("8", 1), ("20", 1)):
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
        assert cores_each() == share
