"""Draws the first solved episode of a case and the first unsolved one, after grading, from what was recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from PIL import Image

from harness.case import Case
from harness.case_folder import CaseFolder
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.evaluation.animation import small, small_webp
from harness.evaluation.held_out import HeldOutFault
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.recordings import recorded_episodes, recording_of
from harness.evaluation.replay import Replay

LIMIT_S = 10.0
"""How long the drawing of a case may take, in seconds, besides the start of the environment's processes."""

MOST_FRAMES = 60
"""How many pictures an animation has at most."""

_SPARE = 0.7
"""The share of the time that is planned for drawing. The rest is for encoding, and for pictures that take longer."""


class _Undrawn(Exception):
    """An episode has no animation. The message says why."""


def wants_pictures(case: Case) -> bool:
    """Return whether the episodes of a case are drawn, as `evaluation.pictures` says."""
    if case.evaluation.pictures == "real":
        return not case.scripted and case.has_agent
    return case.evaluation.pictures == "always"


def draw_pictures(
    environment: HostedEnvironment, files: CaseFolder, episodes: Sequence[Episode], seeds: Sequence[int]
) -> list[str]:
    """Draw the first solved and the first unsolved episode of a case, as far as there are such. Return warnings.

    The animations go to `files.pictures`, as `solved-INDEX.webp` and `unsolved-INDEX.webp`. An episode that cannot be
    drawn in time costs a warning and nothing else.
    """
    warnings: list[str] = []
    deadline = time.monotonic() + LIMIT_S
    chosen = first_of_each(files, episodes)
    for number, episode in enumerate(chosen):
        seconds = (deadline - time.monotonic()) / (len(chosen) - number)
        try:
            _draw(environment, files, episode, seeds[episode.index], seconds)
        except EnvironmentFailed as error:
            warnings.append(f"episode {episode.index} has no pictures: {HeldOutFault(error, seeds)}")
        except Exception as error:  # whatever it is, it must not cost the grade
            warnings.append(f"episode {episode.index} has no pictures: {error}")
    return warnings


def first_of_each(files: CaseFolder, episodes: Sequence[Episode]) -> list[Episode]:
    """Return the first episode that was solved, and the first that was not. Only recorded episodes count."""
    recorded = set(recorded_episodes(files.actions))
    known = [episode for episode in episodes if episode.index in recorded]
    solved = [episode for episode in known if episode.outcome is EpisodeOutcome.SOLVED]
    unsolved = [episode for episode in known if episode.outcome is not EpisodeOutcome.SOLVED]
    return [*solved[:1], *unsolved[:1]]


def _draw(environment: HostedEnvironment, files: CaseFolder, episode: Episode, seed: int, seconds: float) -> None:
    recording = recording_of(files.actions, episode.index)
    solved = episode.outcome is EpisodeOutcome.SOLVED
    with Replay(environment, recording, seed=seed, solved=solved, limit_s=seconds, count=episode.count) as replay:
        images = list(_frames(replay, len(recording.actions), time.monotonic() + seconds))
        if replay.divergence is not None:
            raise _Undrawn(f"the same actions lead to something else: {replay.divergence.told}")
    data = small_webp(images)
    files.pictures.mkdir(mode=0o700, exist_ok=True)
    (files.pictures / f"{'solved' if solved else 'unsolved'}-{episode.index}.webp").write_bytes(data)


def _frames(replay: Replay, steps: int, deadline: float) -> Iterator[Image.Image]:
    """Yield pictures that are evenly spaced over the episode, as many as there is time for."""
    began = time.monotonic()

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise _Undrawn(f"drawing took longer than {deadline - began:.3g} s")
        return seconds

    replay.limit_s = left()
    replay.begin()
    yield small(replay.picture())
    each = time.monotonic() - began
    most = min(steps, MOST_FRAMES - 1, max(1, int(_SPARE * left() / each)))
    for number in range(1, most + 1):
        replay.limit_s = left()
        replay.advance(number * steps // most - replay.step)
        replay.limit_s = left()
        yield small(replay.picture())
