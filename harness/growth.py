"""`pytest --history`: grades each version of a submission that its agent had between two turns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from harness.case_folder import CaseFolder
from harness.environments.hosted import HostedEnvironment
from harness.evaluation.printed import PolicyLog
from harness.evaluation.repository import BrokenRepository, Repository
from harness.evaluation.rollout import evaluate
from harness.evaluation.seeds import HeldOutSeeds, episode_seeds
from harness.evaluation.submission import Submission
from harness.evaluation.versions import Version, read_versions
from harness.grading import Score
from harness.live.line import Live
from harness.results.record import HistoryPoint
from harness.results.record_builder import RecordBuilder
from harness.sandbox.dirs import SandboxDirs
from harness.seed_key import SeedKey


def grade_versions(
    builder: RecordBuilder, environment: HostedEnvironment, dirs: SandboxDirs, live: Live, key: SeedKey
) -> None:
    """Play the held-out episodes with each version of a case's submission, and put the solve rates into the record.

    Versions with the same contents are played once. The one that was handed in is played again only if
    `evaluation.history_episodes` gives the versions fewer episodes than the submission had. Raise `HeldOutFault` if the
    environment fails.
    """
    conf = builder.case.evaluation
    seeds = episode_seeds(key, builder.case.environment.name, conf.history_episodes or conf.scheduled, salt=conf.seed)
    versions = read_versions(builder.folder.versions)
    scores: dict[str, Score] = {}
    if builder.score is not None and builder.submission is not None and len(seeds) == builder.score.episodes:
        scores[builder.submission["digest"]] = builder.score
    builder.history = []
    for number, version in enumerate(versions, 1):
        live.show(f"{builder.case.id}: version {number} of {len(versions)}")
        if version.digest not in scores:
            try:
                with builder.timed("evaluation_s"):
                    scores[version.digest] = _score(builder, environment, dirs, version, seeds)
            except BrokenRepository as error:
                builder.warnings.append(f"version {number} of the submission is not graded: {error}")
                continue
        builder.history.append(_point(version, scores[version.digest]))
        builder.save()


def _score(
    builder: RecordBuilder, environment: HostedEnvironment, dirs: SandboxDirs, version: Version, seeds: HeldOutSeeds
) -> Score:
    contents = Repository(builder.folder.repository).files(version.commit)
    with builder.folder.scratch() as scratch:
        submission = _written(contents, scratch / "submission", version.digest)
        files = CaseFolder(scratch / "files")
        files.make()
        score, _ = evaluate(
            environment,
            submission,
            dirs.sandbox,
            conf=builder.case.evaluation,
            seeds=seeds,
            scratch=scratch,
            files=files,
            log=PolicyLog(files.policy_log),
            progress=lambda done, scheduled: None,  # noqa: ARG005 - the versions are the progress
        )
    return score


def _written(contents: Mapping[str, bytes], folder: Path, digest: str) -> Submission:
    """Write the files of a version. Their names are those that a submission may have."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return Submission(path=folder, files=files, digest=digest, left_out=(), reason=None)


def _point(version: Version, score: Score) -> HistoryPoint:
    return HistoryPoint(
        turns=version.turns,
        tokens=version.tokens,
        cost_usd=version.cost_usd,
        seconds=version.seconds,
        commit=version.commit,
        digest=version.digest,
        solve_rate=score.solve_rate,
        solved=score.solved,
        episodes=score.episodes,
    )
