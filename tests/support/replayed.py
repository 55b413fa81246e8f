"""Grades a submission in its box, and gives what was recorded, for tests of replays and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.case_folder import CaseFolder
from harness.environments.hosted import HostedEnvironment
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.printed import PolicyLog
from harness.evaluation.recordings import recording_of
from harness.evaluation.replay import Replay
from harness.evaluation.rollout import evaluate
from harness.evaluation.submission import collect
from harness.grading import EvaluationConf
from tests.support.sandboxes import bubblewrap

AT_RANDOM = """\
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        self.actions = action_space
        self.actions.seed(5)

    def reset(self, state, info):
        pass

    def get_action(self, state):
        return self.actions.sample()
"""
"""A program that acts at random, the same way each time."""


def graded(environment: HostedEnvironment, folder: Path, program: str, seeds: Sequence[int]) -> list[Episode]:
    """Grade a program and return its episodes. The files are those of `CaseFolder(folder)`."""
    (folder / "workspace").mkdir(parents=True)
    (folder / "workspace/approach.py").write_text(program)
    _score, episodes = evaluate(
        environment,
        collect(folder / "workspace", folder / "submission"),
        bubblewrap(),
        conf=EvaluationConf(episodes=len(seeds)),
        seeds=seeds,
        scratch=folder / "scratch",
        files=CaseFolder(folder),
        log=PolicyLog(folder / "policy.log"),
        progress=lambda _done, _scheduled: None,
    )
    return episodes


def replay_of(environment: HostedEnvironment, folder: Path, episode: Episode, seed: int) -> Replay:
    """Return a replay of a graded episode."""
    recording = recording_of(CaseFolder(folder).actions, episode.index)
    solved = episode.outcome is EpisodeOutcome.SOLVED
    return Replay(environment, recording, seed=seed, solved=solved, limit_s=60.0)
