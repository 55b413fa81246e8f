"""The shipped scripts solve their environments with a real program. The tests take it from the script and play it."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.environments.plain import dumps, loads
from harness.environments.spaces import build_space

CONF = Path(__file__).parents[2] / "conf"
CALLS = {"write": {"write", "content"}, "run": {"run"}, "mcp": {"mcp", "arguments", "optional"}}


def script(name: str) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = yaml.safe_load((CONF / "scripts" / f"{name}.yaml").read_text())["turns"]
    return turns


def written_program(name: str, folder: Path) -> Path:
    [content] = [call["content"] for turn in script(name) for call in turn.get("calls", []) if "write" in call]
    program = folder / "approach.py"
    program.write_text(content)
    return program


@pytest.mark.parametrize("name", ["small_maze", "motion2d_easy"])
def test_a_script_looks_writes_runs_and_finishes(name: str) -> None:
    turns = script(name)
    assert all(set(turn) <= {"text", "calls"} for turn in turns)
    calls = [call for turn in turns for call in turn.get("calls", [])]
    kinds = [next(kind for kind in CALLS if kind in call) for call in calls]
    assert kinds == ["mcp", "write", "run"]
    assert all(set(call) == CALLS[kind] for call, kind in zip(calls, kinds, strict=True))
    assert "calls" not in turns[-1]


@pytest.mark.parametrize("name", ["small_maze", "motion2d_easy"])
def test_the_programs_self_check_passes(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(written_program(name, tmp_path)), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("name", "environment", "episodes"),
    [
        ("small_maze", "small_maze", 200),
        ("small_maze", "large_maze", 20),
        ("motion2d_easy", "motion2d_easy", 10),
        ("motion2d_easy", "motion2d_hard", 4),
    ],
)
def test_the_program_solves_the_environment(name: str, environment: str, episodes: int, tmp_path: Path) -> None:
    conf = yaml.safe_load((CONF / "environment" / f"{environment}.yaml").read_text())
    if conf["kind"] == "kinder":
        pytest.importorskip("kinder", reason="the optional package kindergarden is not installed")
    world = make_environment(EnvironmentConf(**conf))
    spaces = loads(dumps(world.spaces()))
    approach = runpy.run_path(str(written_program(name, tmp_path)))["GeneratedApproach"]
    policy = approach(build_space(spaces["action_space"]), build_space(spaces["observation_space"]))
    for seed in range(episodes):
        observation, info = world.reset(seed)
        policy.reset(loads(dumps(observation)), info)
        for _ in range(world.max_steps):
            action = world.action(loads(dumps(policy.get_action(loads(dumps(observation))))))
            observation, _, solved, _, _ = world.step(action)
            if solved:
                break
        assert solved, f"seed {seed} of {environment} is not solved"
