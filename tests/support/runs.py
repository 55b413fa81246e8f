"""Writes the folders of finished runs: records, cases and episodes, as a run leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from harness.case import NO_MODEL, SUBMISSION, Limits
from harness.case_folder import CaseFolder
from harness.endings import Cause, Ending
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.grading import Score
from harness.results.record import CaseNames, CaseUsage, Digests, Record, Timing, UsageTotals, Versions
from harness.results.run_folder import LATEST
from harness.results.store import RunStore

EPISODES = 20


def record(backend: str, environment: str, replicate: int, *, solved: int | None, **changes: object) -> Record:
    """Return the record of a session that solved so many of 20 episodes, or of one that left nothing to grade."""
    graded = solved is not None
    model, provider = (NO_MODEL, NO_MODEL) if backend == SUBMISSION else ("qwen", "local")
    case = f"{backend}-{model}-{environment}-r{replicate}"
    base = Record(
        case=CaseNames(case, backend, model, provider, environment, replicate),
        session=case,
        scripted=False,
        ending=Ending.FINISHED if graded else Ending.MODEL_ERROR,
        cause=Cause.AGENT if graded else Cause.MODEL,
        outcome=("passed" if solved == EPISODES else "failed") if graded else "error",
        explanation="",
        score=None if solved is None else score(solved),
        usage=CaseUsage(metered=UsageTotals(turns=9, input_tokens=900, output_tokens=90, cost_usd=0.01)),
        limits=Limits(),
        pass_solve_rate=1.0,
        solved_when="terminated",
        max_steps=100,
        environment_arguments={"size": 5},
        timing=Timing(agent_s=30.0),
        versions=Versions(harness="1.0", cli="2.0", model_digest="sha256:m", sandbox="bubblewrap 0.8.0"),
        digests=Digests(prompt="p", instructions="i", tools="t") if graded else Digests(),
        seeds_digest="s" if graded else None,
        submission=None,
        artifacts=case,
    )
    return msgspec.structs.replace(base, **changes)


def score(solved: int) -> Score:
    """Return the grade of a submission that solved so many of 20 episodes."""
    return Score(
        solve_rate=solved / EPISODES,
        episodes=EPISODES,
        solved=solved,
        crashed=0,
        timed_out=0,
        mean_steps=None,
        mean_reward=None,
    )


def write_run(folder: Path, records: Sequence[Record]) -> Path:
    """Write the folder of a finished run and return it. The first episodes are the solved ones."""
    store = RunStore(folder)
    store.begin([one.session for one in records])
    for one in records:
        files = CaseFolder(folder / (one.artifacts or ""))
        files.path.mkdir()
        if one.score:
            files.episodes.write_bytes(b"".join(map(_line, _episodes(one.score))))
        store.append(one)
    store.end()
    assert (folder.parent / LATEST).is_symlink()
    return folder


def night(programs: Mapping[tuple[str, str], Sequence[int | None]], **changes: object) -> list[Record]:
    """Return the records of a run. `programs` says for each backend and environment what its replicates solved."""
    return [
        record(backend, environment, replicate, solved=solved, **changes)
        for (backend, environment), found in programs.items()
        for replicate, solved in enumerate(found, 1)
    ]


def _episodes(grade: Score) -> list[Episode]:
    outcomes = [EpisodeOutcome.SOLVED] * grade.solved + [EpisodeOutcome.UNSOLVED] * (grade.episodes - grade.solved)
    return [Episode(index=index, outcome=outcome) for index, outcome in enumerate(outcomes)]


def _line(episode: Episode) -> bytes:
    return msgspec.json.encode(episode) + b"\n"
