"""Our own policies, graded as a submission of an agent is."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.evaluation.printed import PolicyLog
from harness.evaluation.rollout import evaluate
from harness.evaluation.submission import collect
from harness.grading import EvaluationConf
from harness.policies import reference_folder
from tests.support.sandboxes import bubblewrap


def solved(tmp_path: Path, conf: EnvironmentConf, episodes: int) -> int:
    """Return how many episodes of an environment its policy solves."""
    folder = reference_folder(conf.name)
    assert folder is not None
    shutil.copytree(folder, tmp_path / "workspace", ignore=shutil.ignore_patterns("__pycache__"))
    with closing(make_environment(conf)) as environment:
        score, _ = evaluate(
            environment,
            collect(tmp_path / "workspace", tmp_path / "submission"),
            bubblewrap(),
            conf=EvaluationConf(episodes=episodes, episode_wall_s=300.0),
            seeds=range(10_000_000, 10_000_000 + episodes),
            scratch=tmp_path / "scratch",
            files=CaseFolder(tmp_path),
            log=PolicyLog(tmp_path / "policy.log"),
            progress=lambda _done, _scheduled: None,
        )
    return score.solved
