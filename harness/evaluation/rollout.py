"""Plays the held-out episodes and turns them into a score."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from statistics import fmean

import msgspec

from harness.case_folder import CaseFolder
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.evaluation.counts import by_count, scheduled_counts
from harness.evaluation.held_out import HeldOutFault
from harness.evaluation.lanes import Lanes, Match, OutOfTime, Played, Scheduled
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.printed import PolicyLog
from harness.evaluation.recordings import Recordings
from harness.evaluation.submission import Submission
from harness.grading import EvaluationConf, Score
from harness.sandbox.base import Sandbox

TIMEOUTS_IN_A_ROW = 3
"""After this many timeouts in a row, the remaining episodes are not attempted.

A policy that hangs then costs minutes, not the number of episodes times the wall limit.
"""

NOT_ATTEMPTED = "not attempted"
"""How the error of an episode begins that was given up because of the timeouts before it."""


def evaluate(
    environment: HostedEnvironment,
    submission: Submission,
    sandbox: Sandbox,
    *,
    conf: EvaluationConf,
    seeds: Sequence[int],
    scratch: Path,
    files: CaseFolder,
    log: PolicyLog,
    progress: Callable[[int, int], None],
) -> tuple[Score, list[Episode]]:
    """Play one held-out episode for each seed. Return the score and the episodes, in the order of seeds.

    See `play_schedule`.
    """
    return play_schedule(
        environment,
        submission,
        sandbox,
        conf=conf,
        schedule=schedule_of(environment, seeds),
        scratch=scratch,
        files=files,
        log=log,
        progress=progress,
    )


def schedule_of(environment: HostedEnvironment, seeds: Sequence[int]) -> list[Scheduled]:
    """Return the held-out episodes of these seeds, each with its number of objects if that differs."""
    counts = scheduled_counts(environment.counts, len(seeds))
    return [Scheduled(index, *of_one) for index, of_one in enumerate(zip(seeds, counts, strict=True))]


def play_schedule(
    environment: HostedEnvironment,
    submission: Submission,
    sandbox: Sandbox,
    *,
    conf: EvaluationConf,
    schedule: Sequence[Scheduled],
    scratch: Path,
    files: CaseFolder,
    log: PolicyLog,
    progress: Callable[[int, int], None],
) -> tuple[Score, list[Episode]]:
    """Play these episodes, several side by side. Return the score and the episodes, in their order.

    As soon as an episode and those before it have ended, it is written to `files.episodes`, its recording to
    `files.actions`, and what the submission printed to `log`. `conf.episode_wall_s` limits each episode, and separately
    each loading of the submission. If loading fails, the remaining episodes are not attempted and count as crashed or
    timed out, as the loading did. After `TIMEOUTS_IN_A_ROW` timeouts, the rest counts as timed out, and so does what
    has not ended after `conf.wall_s` seconds. Without that limit, the result is the same however many are played at a
    time. Without a submission, the score has a reason and there are no episodes.
    `progress` is called with the number of episodes done and the number scheduled. Raise `SandboxError` if the sandbox
    does not work, and `HeldOutFault` if the environment fails twice in an episode.
    """
    episodes: list[Episode] = []
    design = environment.counts.design if environment.counts else ()
    if submission.reason is not None:
        files.episodes.write_bytes(b"")
        return no_score(schedule, design, submission.reason), episodes
    match = Match(environment, environment.spaces(), sandbox, submission, scratch, conf, log)
    recordings = Recordings(files.actions)
    with files.episodes.open("wb") as lines, Lanes(match, schedule) as lanes:
        for played in _in_order(lanes, schedule, conf.wall_s):
            episode = played.episode
            lines.write(msgspec.json.encode(episode) + b"\n")
            lines.flush()
            recordings.add(episode.index, played.recording)
            log.add(f"episode {episode.index}: {episode.outcome}", played.printed)
            environment.note(played.told, episode.steps)
            episodes.append(episode)
            progress(len(episodes), len(schedule))
    return score(episodes, design), episodes


def score(episodes: Sequence[Episode], design: Collection[int] = ()) -> Score:
    """Return the score over all scheduled episodes. An invalid action counts as a crash.

    `design` are the numbers of objects that the agent knew, if that number differs between episodes. Raise `ValueError`
    if there are no episodes.
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
        **by_count([(episode.count, episode.outcome is EpisodeOutcome.SOLVED) for episode in episodes], design),
    )


def no_score(schedule: Sequence[Scheduled], design: Collection[int], reason: str) -> Score:
    """Return the score if nothing could be played. Every episode counts as unsolved."""
    return Score(
        solve_rate=0.0,
        episodes=len(schedule),
        solved=0,
        crashed=0,
        timed_out=0,
        mean_steps=None,
        mean_reward=None,
        reason=reason,
        **by_count([(scheduled.count, False) for scheduled in schedule], design),
    )


def _in_order(lanes: Lanes, schedule: Sequence[Scheduled], wall_s: float | None) -> Iterator[Played]:
    """Yield what came of each episode. Those that have not ended after `wall_s` seconds are given up.

    Once there is another reason to give up, the remaining episodes get that reason, also those that were already
    played. So the result does not depend on how many are played at a time.
    """
    timeouts = 0
    until = None if wall_s is None else time.monotonic() + wall_s
    for index in range(len(schedule)):
        if timeouts >= TIMEOUTS_IN_A_ROW:
            outcome, reason = EpisodeOutcome.TIMED_OUT, f"{NOT_ATTEMPTED} after {timeouts} timeouts in a row"
            yield from _given_up(schedule[index:], outcome, reason)
            return
        try:
            played = lanes.wait_for(schedule[index].index, until)
        except OutOfTime:
            over = f"{NOT_ATTEMPTED}, or not to its end: grading took its {wall_s:g} s (evaluation.wall_s)"
            yield from _given_up(schedule[index : index + 1], EpisodeOutcome.TIMED_OUT, over)
            continue
        except EnvironmentFailed as error:
            raise HeldOutFault(error, [scheduled.seed for scheduled in schedule]) from None
        yield played
        if played.unloadable:
            yield from _given_up(schedule[index + 1 :], played.episode.outcome, played.episode.error)
            return
        timeouts = timeouts + 1 if played.episode.outcome is EpisodeOutcome.TIMED_OUT else 0


def _given_up(rest: Sequence[Scheduled], outcome: EpisodeOutcome, reason: str | None) -> Iterator[Played]:
    for scheduled in rest:
        yield Played(scheduled.unplayed(outcome, reason))
