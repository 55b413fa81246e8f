"""Trajectories, read by the models and the validator of Harbor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from backends.registry import own_names
from harness.exports.atif import VERSION
from tests.support.transcripts import HOSTILE

trajectories: Any = pytest.importorskip("harbor.models.trajectories", reason="make exports installs harbor")
validator: Any = pytest.importorskip("harbor.utils.trajectory_validator", reason="make exports installs harbor")


def test_the_version_is_the_newest_that_harbor_accepts() -> None:
    versions = get_args(trajectories.Trajectory.model_fields["schema_version"].annotation)
    assert max(versions, key=lambda name: [int(part) for part in name.removeprefix("ATIF-v").split(".")]) == VERSION


def test_every_trajectory_is_valid(exported: Path) -> None:
    files = sorted((exported / "atif").glob("*.json"))
    assert len(files) == 2 * len(own_names()) + 6, "two for each backend, and those of Claude Code"
    for file in files:
        check = validator.TrajectoryValidator()
        assert check.validate(file), (file.name, check.errors)


def test_the_validator_refuses_what_is_wrong(exported: Path) -> None:
    document = json.loads((exported / "atif/codex-qwen-maze-r1.json").read_text())
    document["steps"][1]["step_id"] = 9
    assert not validator.TrajectoryValidator().validate(document)


def test_subagents_are_read_as_trajectories(exported: Path) -> None:
    read = trajectories.Trajectory(**json.loads((exported / "atif/claude-qwen-subagents-r1.json").read_text()))
    refs = [
        ref.trajectory_id
        for step in read.steps
        for result in (step.observation.results if step.observation else [])
        for ref in result.subagent_trajectory_ref or []
    ]
    assert refs == [one.trajectory_id for one in read.subagent_trajectories]
    assert [len(one.steps) for one in read.subagent_trajectories] == [3, 3]


def test_a_hostile_text_is_read_as_it_was_written(exported: Path) -> None:
    read = trajectories.Trajectory(**json.loads((exported / "atif/claude-qwen-hostile-r1.json").read_text()))
    [step] = [step for step in read.steps if step.source == "agent"]
    assert step.message.rstrip("?\ufffd") == HOSTILE.rstrip("\udc80")
