"""Says in one line what the episodes of a submission did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.rollout import NOT_ATTEMPTED
from harness.grading import Score, least_solved
from harness.results.episodes import brief_error


def summarize(score: Score, episodes: Sequence[Episode], needed: float) -> str:
    """Return how many episodes were solved, how many were needed, and how the others ended.

    For example: "0 of 20 solved, 18 needed; 20 crashed: KeyError: 'nope' (approach.py:9)". `needed` is a share of the
    episodes. The reason for having no submission stands alone.
    """
    if score.reason is not None:
        return score.reason
    at_least = least_solved(needed, score.episodes)
    kinds = [
        _kind("unsolved", episodes, EpisodeOutcome.UNSOLVED),
        _kind("crashed", episodes, EpisodeOutcome.CRASHED),
        _kind("timed out", episodes, EpisodeOutcome.TIMED_OUT),
        _kind("with an invalid action", episodes, EpisodeOutcome.INVALID_ACTION),
    ]
    return "; ".join([f"{score.solved} of {score.episodes} solved, {at_least} needed", *filter(None, kinds)])


def _kind(words: str, episodes: Iterable[Episode], outcome: EpisodeOutcome) -> str:
    """Return the number of episodes that ended this way, and their most common error. Without episodes, return ""."""
    errors = [brief_error(episode.error) for episode in episodes if episode.outcome is outcome]
    if not errors:
        return ""
    played = [error for error in errors if not error.startswith(NOT_ATTEMPTED)] or errors
    [(most, times)] = Counter(played).most_common(1)
    if not most:
        return f"{len(errors)} {words}"
    others = f", and {len(played) - times} for other reasons" if times < len(played) else ""
    skipped = f", and {len(errors) - len(played)} {NOT_ATTEMPTED} after them" if len(played) < len(errors) else ""
    return f"{len(errors)} {words}: {most}{others}{skipped}"
