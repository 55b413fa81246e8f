"""Chooses the best of several submissions that one session left. They are tried on public seeds."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from backends.base import Candidates
from harness.case_folder import CaseFolder
from harness.environments.hosted import HostedEnvironment
from harness.evaluation.lanes import Scheduled
from harness.evaluation.printed import PolicyLog
from harness.evaluation.rollout import play_schedule
from harness.evaluation.submission import collect
from harness.live.line import Live
from harness.results.record import CandidateTried
from harness.results.record_builder import RecordBuilder
from harness.sandbox.dirs import SandboxDirs


def choose(
    builder: RecordBuilder, environment: HostedEnvironment, dirs: SandboxDirs, candidates: Candidates, live: Live
) -> str:
    """Return the folder of the candidate that solves the most public episodes: of equal ones, the first.

    The episodes have the seeds 0, 1, ..., which the tools of an agent can use too. The record says how each candidate
    did. Raise `HeldOutFault` if the environment fails.
    """
    for number, folder in enumerate(candidates.folders, 1):
        live.show(f"{builder.case.id}: candidate {number} of {len(candidates.folders)}")
        with builder.timed("evaluation_s"), builder.folder.scratch() as scratch:
            builder.candidates.append(_tried(builder, environment, dirs, folder, scratch, candidates.episodes))
    best = max(builder.candidates, key=lambda tried: tried.solved or 0)
    builder.candidates = [replace(tried, chosen=tried is best) for tried in builder.candidates]
    builder.save()
    return best.folder


def _tried(
    builder: RecordBuilder,
    environment: HostedEnvironment,
    dirs: SandboxDirs,
    folder: str,
    scratch: Path,
    episodes: int,
) -> CandidateTried:
    submission = collect(dirs.workspace, scratch / "submission", folder=folder)
    if submission.reason is not None:
        return CandidateTried(folder=folder, episodes=episodes, reason=submission.reason)
    files = CaseFolder(scratch / "files")
    files.make()
    score, _ = play_schedule(
        environment,
        submission,
        dirs.sandbox,
        conf=builder.case.evaluation,
        schedule=[Scheduled(seed, seed) for seed in range(episodes)],
        scratch=scratch,
        files=files,
        log=PolicyLog(files.policy_log),
        progress=lambda done, scheduled: None,  # noqa: ARG005 - these episodes are few
    )
    return CandidateTried(folder=folder, episodes=episodes, solved=score.solved, digest=submission.digest)
