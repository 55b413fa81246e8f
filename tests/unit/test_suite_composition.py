"""What the cases of a run are made of, as a resumed run compares it."""

from __future__ import annotations

import msgspec
import pytest

from harness.packaged import harness_version
from harness.suite import matrix
from harness.suite.composition import composition
from harness.suite.config import load
from harness.suite.no_agent import without_agent
from tests.support.project import CONF


def composed(*settings: str) -> dict[str, object]:
    config = load(CONF, "smoke", settings)
    return composition(config.suite, matrix.cases(config), CONF)


def test_it_names_what_the_cases_use_and_nothing_else() -> None:
    found = composed()
    assert found["harness"] == harness_version()
    assert {key.partition(".")[2] for key in found if key.startswith("cli.")} == set(load(CONF, "smoke").backend)
    assert {key.split(".")[1] for key in found if key.startswith("provider.")} == {"scripted"}
    assert all(len(msgspec.json.encode(value)) < 300 for value in found.values()), "long texts are digests"
    assert str(found["prompt.default.task"]).startswith("sha256:")
    assert [key for key in found if key.startswith("script.")] == ["script.conf/scripts/small_maze.yaml"]


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("limits.turns=7", "limits.turns"),
        ("suite.replicates=2", "suite.replicates"),
        ("environment.small_maze.max_steps=7", "environment.small_maze.max_steps"),
        ("prompt.default.rules=be quick", "prompt.default.rules"),
    ],
)
def test_a_setting_changes_its_key_alone(setting: str, key: str) -> None:
    before, after = composed(), composed(setting)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == {key}


def test_without_an_agent_no_cli_and_no_script_matter() -> None:
    config = load(CONF, "smoke")
    found = composition(config.suite, without_agent(matrix.cases(config), 1), CONF)
    assert not any(key.startswith(("cli.", "script.")) for key in found)
