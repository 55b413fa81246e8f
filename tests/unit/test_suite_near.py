"""What a message says of a mistyped name."""

from __future__ import annotations

import pytest

from harness.suite.config import load_environments
from harness.suite.near import hint, listed, nearest
from tests.support.project import CONF

ENVIRONMENTS = sorted(load_environments(CONF))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smal_maze", "did you mean small_maze"),
        ("motion2d_hrad", "did you mean motion2d_hard"),
        ("Motion2D-p1-v0", "kinder/Motion2D-p1-v0"),
        ("motion2d_p1", "did you mean kinder/Motion2D-p1-v0"),
        ("tossing3d-o2", "tossing3d_o2"),
    ],
)
def test_a_wrong_environment_is_told_its_near_names_and_not_all(name: str, said: str) -> None:
    told = hint(name, ENVIRONMENTS, "environment")
    assert said in told
    assert "choose from" not in told
    assert "kinder/ID" in told
    assert "kind: gymnasium" in told
    assert len(told) < 400


@pytest.mark.parametrize("name", ["", "qqqqqqqqq"])
def test_without_a_near_name_the_first_ones_are_told(name: str) -> None:
    told = hint(name, ENVIRONMENTS, "environment")
    assert told.startswith(f"choose from: {ENVIRONMENTS[0]}, ")
    assert f"({len(ENVIRONMENTS)} in all)" in told


def test_few_names_are_all_told_after_the_near_one() -> None:
    assert hint("claud", ["claude", "opencode"], "backend") == "did you mean claude? choose from: claude, opencode"
    assert hint("qqq", []) == "choose from: (none)"


def test_names_that_contain_the_wrong_one_are_near() -> None:
    assert nearest("maze", ["small_maze", "motion2d_easy"]) == ["small_maze"]


def test_a_long_list_is_cut() -> None:
    assert listed(map(str, range(1000))).endswith(", 29, … (1000 in all)")
