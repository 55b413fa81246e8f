"""Plays the held-out episodes and turns them into a score."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from statistics import fmean

import msgspec
from msgspec import Struct

from harness.case import EvaluationConf, Score
from harness.endings import CaseFault
from harness.environments.base import Environment, InvalidAction, Policy
from harness.evaluation.policy import PolicyError, PolicyHost, PolicyTimeout
from harness.evaluation.printed import PolicyLog
from harness.evaluation.seeds import HeldOutFault
from harness.evaluation.submission import Submission
from harness.evaluation.text import printable
from harness.sandbox.base import Sandbox

TIMEOUTS_IN_A_ROW = 3
"""After this many timeouts in a row, the remaining episodes are not attempted.

A policy that hangs then costs minutes, not the number of episodes times the wall limit.
"""

NOT_ATTEMPTED = "not attempted"
"""How the error of an episode begins that was given up before it was played, because of earlier timeouts."""


class EpisodeOutcome(StrEnum):
    """How an episode ended. Everything but `SOLVED` counts as unsolved."""

    SOLVED = "solved"
    UNSOLVED = "unsolved"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    INVALID_ACTION = "invalid_action"


class Episode(Struct, frozen=True, kw_only=True):
    """One line of `episodes.jsonl`. `index` counts the held-out seeds from 0. The seed itself is not kept.

    `steps` and `reward` (the sum) cover the steps before the end. `error` says what went wrong.
    """

    index: int
    outcome: EpisodeOutcome
    steps: int = 0
    reward: float = 0.0
    seconds: float = 0.0
    error: str | None = None


def run_episode(
    environment: Environment,
    policy: Policy,
    *,
    index: int,
    seed: int,
    max_steps: int,
    wall_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Episode:
    """Play one episode of at most `max_steps` steps.

    `wall_s` limits the whole episode, including the environment's own time. An exception from the environment is a
    fault of the harness, so it is not caught.
    """
    start = clock()
    steps, reward = 0, 0.0

    def left() -> float:
        seconds = start + wall_s - clock()
        if seconds <= 0:
            raise PolicyTimeout("no time is left")
        return seconds

    def ended(outcome: EpisodeOutcome, error: str | None = None) -> Episode:
        seconds = round(clock() - start, 4)
        return Episode(index=index, outcome=outcome, steps=steps, reward=reward, seconds=seconds, error=error)

    try:
        observation, info = environment.reset(seed)
        policy.reset(observation, info, left())
        while steps < max_steps:
            step = environment.step(environment.action(policy.act(observation, left())))
            observation, steps, reward = step.observation, steps + 1, reward + float(step.reward)
            left()
            if step.terminated or step.truncated:
                return ended(EpisodeOutcome.SOLVED if step.terminated else EpisodeOutcome.UNSOLVED)
    except InvalidAction as error:
        return ended(EpisodeOutcome.INVALID_ACTION, printable(str(error)))
    except PolicyTimeout as error:
        return ended(EpisodeOutcome.TIMED_OUT, f"over the episode's limit of {wall_s:g} s: {error}")
    except PolicyError as error:
        return ended(EpisodeOutcome.CRASHED, str(error))
    return ended(EpisodeOutcome.UNSOLVED)


def evaluate(
    environment: Environment,
    submission: Submission,
    sandbox: Sandbox,
    *,
    conf: EvaluationConf,
    seeds: Sequence[int],
    scratch: Path,
    episodes_file: Path,
    log: PolicyLog,
    progress: Callable[[int, int], None],
) -> tuple[Score, list[Episode]]:
    """Play one episode for each seed. Return the score and the episodes.

    Each episode is appended to `episodes_file` as soon as it ends, and what the submission printed to `log`.
    `conf.episode_wall_s` limits each episode, and separately each loading of the submission. If loading fails, the
    remaining episodes are not attempted and count as crashed or timed out, as the loading did. After
    `TIMEOUTS_IN_A_ROW` timeouts, the rest counts as timed out. Without a submission, the score has a reason and there
    are no episodes. `progress` is called with the number of episodes done and the number scheduled. Raise
    `HeldOutFault` if the environment raises an exception, and `SandboxError` if the sandbox does not work.
    """
    episodes: list[Episode] = []
    if submission.reason is not None:
        episodes_file.write_bytes(b"")
        return _no_score(len(seeds), submission.reason), episodes
    with (
        episodes_file.open("wb") as lines,
        PolicyHost(sandbox, submission.path, scratch, environment.spaces()) as policy,
    ):
        try:
            for episode in _played(environment, policy, conf.episode_wall_s, seeds):
                lines.write(msgspec.json.encode(episode) + b"\n")
                lines.flush()
                log.add(f"episode {episode.index}: {episode.outcome}", policy.printed())
                episodes.append(episode)
                progress(len(episodes), len(seeds))
        except BaseException:  # the environment or the sandbox failed, or the user interrupted the episode
            log.add(f"episode {len(episodes)}: it did not end", policy.printed())
            raise
    return score(episodes), episodes


def score(episodes: Sequence[Episode]) -> Score:
    """Return the score over all scheduled episodes. An invalid action counts as a crash.

    Raise `ValueError` if there are no episodes.
    """
    if not episodes:
        raise ValueError("no episodes were scheduled: set evaluation.episodes to 1 or more")
    outcomes = Counter(episode.outcome for episode in episodes)
    whole = [episode for episode in episodes if episode.outcome in (EpisodeOutcome.SOLVED, EpisodeOutcome.UNSOLVED)]
    return Score(
        solve_rate=outcomes[EpisodeOutcome.SOLVED] / len(episodes),
        episodes=len(episodes),
        solved=outcomes[EpisodeOutcome.SOLVED],
        crashed=outcomes[EpisodeOutcome.CRASHED] + outcomes[EpisodeOutcome.INVALID_ACTION],
        timed_out=outcomes[EpisodeOutcome.TIMED_OUT],
        mean_steps=fmean(episode.steps for episode in whole) if whole else None,
        mean_reward=fmean(episode.reward for episode in whole) if whole else None,
    )


def _no_score(scheduled: int, reason: str) -> Score:
    return Score(
        solve_rate=0.0,
        episodes=scheduled,
        solved=0,
        crashed=0,
        timed_out=0,
        mean_steps=None,
        mean_reward=None,
        reason=reason,
    )


def _played(environment: Environment, policy: PolicyHost, wall_s: float, seeds: Sequence[int]) -> Iterator[Episode]:
    """Yield one episode for each seed.

    Once there is a reason to give up, the remaining episodes are not attempted and get that reason.
    """
    given_up: tuple[EpisodeOutcome, str] | None = None
    timeouts = 0
    for index in range(len(seeds)):  # a variable with the seed would be shown by tracebacks
        given_up = given_up or _reason_to_give_up(policy, timeouts, wall_s)
        if given_up:
            yield Episode(index=index, outcome=given_up[0], error=given_up[1])
            continue
        try:
            episode = run_episode(
                environment, policy, index=index, seed=seeds[index], max_steps=environment.max_steps, wall_s=wall_s
            )
        except CaseFault:
            raise
        except Exception as error:
            raise HeldOutFault(error, seeds) from None
        timeouts = timeouts + 1 if episode.outcome is EpisodeOutcome.TIMED_OUT else 0
        yield episode


def _reason_to_give_up(policy: PolicyHost, timeouts: int, wall_s: float) -> tuple[EpisodeOutcome, str] | None:
    if timeouts >= TIMEOUTS_IN_A_ROW:
        return EpisodeOutcome.TIMED_OUT, f"{NOT_ATTEMPTED} after {timeouts} timeouts in a row"
    try:
        policy.load(wall_s)
    except PolicyTimeout as error:
        return EpisodeOutcome.TIMED_OUT, f"approach.py cannot be loaded: {error}"
    except PolicyError as error:
        return EpisodeOutcome.CRASHED, f"approach.py cannot be loaded: {error}"
    return None
