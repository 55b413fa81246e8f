"""Real CLIs, and baselines, solve an environment of each family, with the program that a script makes them write."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.policies import reference_folder
from tests.support.project import Project

ENVIRONMENTS = {
    "kinematic2d": "stickbutton2d_easy",
    "dynamic2d": "dynpusht2d",
    "kinematic3d": "basemotion3d",
    "kinematic3dv2": "vegamotion3d",
    "dynamic3d by MuJoCo": "dynamo3d_o1",
    "dynamic3d by PyBullet": "limbrepositioning3d_isolated_left_arm",
}
BACKENDS = ("claude", "opencode", "codex", "pi", "direct", "per_instance", "random")

pytestmark = [pytest.mark.nightly, pytest.mark.worlds]


def script(folder: Path) -> str:
    """Return a script that hands in the files of a folder."""
    calls = [{"write": file.name, "content": file.read_text()} for file in sorted(folder.glob("*.py"))]
    return yaml.safe_dump({"turns": [{"calls": calls}, {"text": "Done."}]})


@pytest.mark.parametrize("family", ENVIRONMENTS)
def test_each_backend_solves_an_environment_of_the_family(family: str, tmp_path: Path) -> None:
    name = ENVIRONMENTS[family]
    folder = reference_folder(name)
    assert folder is not None
    project = Project(tmp_path / "project")
    project.write(f"conf/scripts/{name}.yaml", script(folder))
    project.write(
        "conf/suite/family.yaml",
        f"name: family\nbackends: [{', '.join(BACKENDS)}]\nmodels: [scripted]\nenvironments: [{name}]\n",
    )
    options = ("evaluation.episodes=4", "backend.per_instance.options.instances=2")
    done = project.pytest("--suite", "family", *(word for option in options for word in ("--set", option)))
    records = project.records
    outcomes = {name.partition("-")[0]: record.outcome for name, record in records.items()}
    assert outcomes.pop("random") in {"passed", "failed"}
    assert outcomes == dict.fromkeys(BACKENDS[:-1], "passed"), done.stdout
    assert all(record.score is not None for record in records.values())
