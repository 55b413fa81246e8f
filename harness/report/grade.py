"""What `proctor grade` says of a graded program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.grading import CountScore
from harness.report.properties import wilson
from harness.results.episodes import SOLVED, EpisodeLine, brief_error, read_episodes
from harness.results.record import Record

_FEW = 8


class Failures(Struct, frozen=True):
    """Episodes that ended in the same way: the outcome, the error in a line, and the indices of the episodes."""

    outcome: str
    error: str
    episodes: list[int]


class Graded(Struct, frozen=True, kw_only=True):
    """The grade of a program. `interval` holds the true solve rate with a confidence of 95 %.

    `by_count` is the grade for each number of objects, if that differs between episodes.

    If the program could not be graded, `episodes` is 0, and `explanation` says why.
    """

    run: str
    case: str
    environment: str
    ending: str
    explanation: str
    policy: str | None
    episodes: int
    solved: int = 0
    solve_rate: float | None = None
    interval: tuple[float, float] | None = None
    pass_solve_rate: float | None = None
    by_count: dict[int, CountScore] = {}
    mean_steps: float | None = None
    mean_reward: float | None = None
    seconds: float | None = None
    failures: list[Failures] = []
    files: int = 0
    left_out: list[str] = []
    warnings: list[str] = []


def graded(record: Record, run: Path) -> Graded:
    """Return the grade that a record and the files of its run tell."""
    score, submission = record.score, record.submission or {}
    known: dict[str, Any] = {}
    if score is not None and score.reason is None:
        known = {
            "solved": score.solved,
            "solve_rate": score.solve_rate,
            "interval": wilson(score.solved, score.episodes),
            "by_count": score.by_count,
            "mean_steps": score.mean_steps,
            "mean_reward": score.mean_reward,
            "failures": _failures(read_episodes(CaseFolder(run / str(record.artifacts)).episodes)),
        }
    return Graded(
        run=str(run),
        case=record.case.id,
        environment=record.case.environment,
        ending=str(record.ending),
        explanation=record.explanation,
        policy=submission.get("policy"),
        episodes=score.episodes if known and score is not None else 0,
        pass_solve_rate=record.pass_solve_rate,
        seconds=record.timing.evaluation_s,
        files=len(submission.get("files", [])),
        left_out=list(submission.get("left_out", [])),
        warnings=record.warnings,
        **known,
    )


def grade_lines(found: Graded) -> Iterator[str]:
    """Yield the lines that tell a grade to people."""
    if found.solve_rate is None or found.interval is None:
        yield f"{found.environment}: not graded ({found.ending}): {found.explanation}"
    else:
        low, high = found.interval
        yield f"{found.environment}: {found.solved} of {found.episodes} solved"
        yield f"  solve rate   {found.solve_rate:.2f} (95 % interval {low:.2f} to {high:.2f})"
        for count, one in found.by_count.items():
            known = "held out" if one.held_out else "design"
            yield f"  {f'count {count}':<12} {one.solved} of {one.episodes} solved ({known})"
        yield f"  mean steps   {_number(found.mean_steps)}"
        yield f"  mean reward  {_number(found.mean_reward)}"
        yield f"  seconds      {_number(found.seconds)}"
        for kind in found.failures:
            yield f"  {kind.outcome:<12} {len(kind.episodes)}{f': {kind.error}' if kind.error else ''}"
            yield f"  {'':<12} episodes {_some(kind.episodes)}"
        if any("ModuleNotFoundError" in kind.error for kind in found.failures):
            yield "the program runs with the Python of its environment: name one that has this module with --python"
    for line in found.left_out[:_FEW]:
        yield f"left out: {line}"
    for line in found.warnings:
        yield f"warning: {line}"
    yield f"run: {found.run}"
    if found.failures:
        yield f"see one: proctor replay {found.run} {found.case} {found.failures[0].episodes[0]} --gif episode.gif"


def _failures(episodes: Sequence[EpisodeLine]) -> list[Failures]:
    """Return the episodes that were not solved, by outcome and error, the most frequent first."""
    kinds = defaultdict[tuple[str, str], list[int]](list)
    for episode in episodes:
        if episode.outcome != SOLVED:
            kinds[episode.outcome, brief_error(episode.error)].append(episode.index)
    return sorted(
        (Failures(outcome, error, indices) for (outcome, error), indices in kinds.items()),
        key=lambda kind: (-len(kind.episodes), kind.episodes),
    )


def _some(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:_FEW]))
    return f"{shown} and {len(indices) - _FEW} more" if len(indices) > _FEW else shown


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
