"""A replay equals the record in every family of environments that installs, and says where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import available, make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.maze import Maze, distance, generate
from harness.evaluation import recordings
from harness.evaluation.playing import EpisodeOutcome
from harness.evaluation.recording import EpisodeRecorder, Recording
from harness.evaluation.recordings import RecordingMissing, Recordings, recorded_episodes, recording_of
from harness.evaluation.replay import Divergence, Replay
from tests.support.replayed import AT_RANDOM, graded, replay_of

SOLVES_MAZES = Path(__file__).parents[1] / "security/good_policy.py"
MAZE = EnvironmentConf("small_maze", "maze", {"min_size": 3, "max_size": 5}, 30)
LARGE = EnvironmentConf("large_maze", "maze", {"min_size": 12, "max_size": 20}, 30)
MOTION = EnvironmentConf("motion", "kinder", {"id": "kinder/Motion2D-p1-v0"}, 30)
FAMILIES = [
    MAZE,
    LARGE,
    MOTION,
    *(
        EnvironmentConf(name, "kinder", {"id": f"kinder/{name}-v0"}, 30)
        for name in (
            "ClutteredRetrieval2D-o1",
            "ClutteredStorage2D-b1",
            "Obstruction2D-o1",
            "PushPullHook2D",
            "StickButton2D-b2",
        )
    ),
    EnvironmentConf("lake", "gymnasium", {"id": "FrozenLake-v1", "solved_when": "rewarded"}, 30),
    EnvironmentConf("pole", "gymnasium", {"id": "CartPole-v1"}, 30, solved_when="return >= 20"),
    EnvironmentConf("car", "gymnasium", {"id": "MountainCarContinuous-v0"}, 30),
]


def replays_equal(conf: EnvironmentConf, folder: Path, count: int) -> None:
    if (missing := available(conf)) is not None:
        pytest.skip(missing)
    seeds = range(20_000, 20_000 + count)
    with closing(make_environment(conf)) as environment:
        episodes = graded(environment, folder, AT_RANDOM, seeds)
        assert recorded_episodes(CaseFolder(folder).actions) == list(range(count))
        for episode in episodes:
            assert episode.outcome in {EpisodeOutcome.SOLVED, EpisodeOutcome.UNSOLVED}, episode.error
            with replay_of(environment, folder, episode, seeds[episode.index]) as replay:
                replay.begin()
                replay.advance()
            assert replay.divergence is None, episode
            assert replay.step == episode.steps
            assert sum(replay.played().rewards.tolist()) == pytest.approx(episode.reward)


@pytest.mark.parametrize("conf", [MAZE, MOTION, FAMILIES[-2]], ids=lambda conf: conf.name)
def test_a_few_episodes_are_the_same_again(conf: EnvironmentConf, tmp_path: Path) -> None:
    replays_equal(conf, tmp_path / "case", 3)


@pytest.mark.nightly
@pytest.mark.parametrize("conf", FAMILIES, ids=lambda conf: conf.name)
def test_200_episodes_are_the_same_again(conf: EnvironmentConf, tmp_path: Path) -> None:
    replays_equal(conf, tmp_path / "case", 200)


SEED = next(seed for seed in range(20_000, 30_000) if distance(generate(seed, 3, 5)) == 4)
"""The seed of a maze that takes four steps."""


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HostedEnvironment, Recording]]:
    """An environment, and the recording of an episode in which it was solved in four steps."""
    folder = tmp_path_factory.mktemp("solved") / "case"
    with closing(make_environment(MAZE)) as environment:
        [episode] = graded(environment, folder, SOLVES_MAZES.read_text(), [SEED])
        assert (episode.outcome, episode.steps) == (EpisodeOutcome.SOLVED, 4)
        yield environment, recording_of(CaseFolder(folder).actions, 0)


def at(values: NDArray[Any], index: int, value: float) -> NDArray[Any]:
    """Return a copy with another value in one place."""
    changed = values.copy()
    changed[index] = value
    return changed


def replays_alike(environment: HostedEnvironment, replay: Replay, seed: int) -> bool:
    """Return whether a second replay brings the same as the first."""
    with Replay(environment, replay.played(), seed=seed, solved=True, limit_s=20.0) as again:
        again.begin()
        again.advance()
    return again.divergence is None


DICE = """\
import os
from harness.environments.maze import Maze

class Dice(Maze):
    def step(self, action):
        return super().step(action)._replace(reward=float(os.urandom(4)[0]))
"""


def test_a_second_replay_tells_an_environment_that_is_not_deterministic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dice.py").write_text(DICE)
    monkeypatch.syspath_prepend(tmp_path)
    conf = EnvironmentConf("dice", "dice:Dice", {"min_size": 5, "max_size": 5}, 30)
    with closing(make_environment(conf)) as environment:
        [episode] = graded(environment, tmp_path / "case", AT_RANDOM, [SEED])
        with replay_of(environment, tmp_path / "case", episode, SEED) as replay:
            replay.begin()
            replay.advance()
        assert replay.divergence is not None
        assert "the reward is" in replay.divergence.what
        assert not replays_alike(environment, replay, SEED)


def test_a_replay_says_from_which_step_on_it_differs(solved: tuple[HostedEnvironment, Recording]) -> None:
    environment, good = solved
    ends = "the last step {} the episode, and did{} when it was graded"
    cases: list[tuple[int, Recording, bool, Divergence | None]] = [
        (SEED, good, True, None),
        (SEED + 1, good, True, Divergence(0, "the first observation is another one")),
        (
            SEED,
            replace(good, rewards=at(good.rewards, 1, -2.0)),
            True,
            Divergence(2, "the reward is -1.0, and was -2.0"),
        ),
        (SEED, replace(good, seen=at(good.seen, 3, 5)), True, Divergence(3, "the observation is another one")),
        (SEED, good, False, Divergence(4, ends.format("solves", " not"))),
        (SEED, replace(good, left_out=1), False, None),
        (
            SEED,
            replace(good, actions=[*good.actions, 0], rewards=at(np.full(5, -1.0), 4, 0), seen=np.append(good.seen, 1)),
            True,
            Divergence(4, "the episode ends here, and was recorded for 5 steps"),
        ),
        (
            SEED,
            replace(good, actions=[good.actions[0], 9, *good.actions[2:]]),
            True,
            Divergence(
                2, "the environment refuses the action: the action must be one of the integers 0, 1, 2, 3; got 9"
            ),
        ),
    ]
    for seed, recording, was_solved, divergence in cases:
        with Replay(environment, recording, seed=seed, solved=was_solved, limit_s=20.0) as replay:
            replay.begin()
            while replay.advance(2):
                pass
            assert replay.divergence == divergence
            replay.begin()
            while replay.next() is not None:
                pass
            assert replay.divergence == divergence, "step by step, too"
            assert replays_alike(environment, replay, seed)


def test_a_file_of_recordings_leaves_out_what_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = EpisodeRecorder(Maze(3, 5, 10))
    recorder.reset(1)
    recorder.step(recorder.action(1))
    one = recorder.recorded()
    monkeypatch.setattr(recordings, "MOST_BYTES", 2 * len(one))
    path = tmp_path / "actions.bin"
    file = Recordings(path)
    for index in range(4):
        file.add(index, one if index != 1 else b"")
    file.add(4, b"1")
    assert recorded_episodes(path) == [0, 2]
    assert recording_of(path, 2).actions == [1]
    for index, why in ((1, "it was not played"), (3, "leaves out episode 3: it holds"), (4, "leaves out episode 4")):
        with pytest.raises(RecordingMissing, match=why):
            recording_of(path, index)
    with pytest.raises(RecordingMissing, match="graded by an older version, or not at all"):
        recording_of(tmp_path / "nothing", 0)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RecordingMissing, match=r"actions.bin is damaged: episode 2"):
        recording_of(path, 2)
