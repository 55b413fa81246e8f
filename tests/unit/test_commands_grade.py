"""`proctor grade`: any program is graded, unmodified, and leaves a run like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.commands.main import main
from harness.seed_key import VARIABLE

FILES = {
    "lab_g/__init__.py": "",
    "lab_g/base.py": """\
class Base:
    def __init__(self, action_space, observation_space, seed, primitives, description=None):
        assert seed == 0 and not primitives
        self.state, self.told = None, 0

    def reset(self, state, info):
        self.state, self.done = state, False

    def step(self):
        assert not self.done
        return self.action()

    def update(self, state, reward, done, info):
        assert reward == -1.0 and info == {} and state != self.state or state.agent == self.state.agent
        self.state, self.done, self.told = state, done, self.told + 1
""",
    "lab_g/walk/__init__.py": "",
    "lab_g/walk/moves.py": "MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))\n",
    "lab_g/walk/approach.py": """\
from lab_g.base import Base
from .moves import MOVES

class WalkOracle(Base):
    def action(self):
        state, steps, queue = self.state, {self.state.goal: None}, [self.state.goal]
        for row, column in queue:
            for move, (down, right) in enumerate(MOVES):
                cell = (row - down, column - right)
                free = 0 <= cell[0] < state.height and 0 <= cell[1] < state.width
                if free and cell not in state.obstacles and cell not in steps:
                    steps[cell] = move
                    queue.append(cell)
        return steps[state.agent]
""",
    "astray/approach.py": """\
class Up:
    def __init__(self, action_space, observation_space):
        pass

    def reset(self, state, info):
        self.first = state["agent"]

    def get_action(self, state):
        if state["height"] % 2:
            raise KeyError("nope", "x" * 9000)
        return 0

class Down(Up):
    pass
""",
    "empty/other.py": "",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def proctor(capsys: pytest.CaptureFixture[str]) -> Command:
    """Call `proctor`. Return its status, its output, and its standard error in one line."""

    def proctor(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as error:
            status = int(str(error.code))
        out, err = capsys.readouterr()
        return status, out, " ".join(err.split())

    return proctor


def test_a_program_of_another_project_is_graded_as_it_is(proctor: Command) -> None:
    """It lies in a package, has a base class there, no `get_action` and no `GeneratedApproach`."""
    status, out, err = proctor("grade", "lab_g/walk", "--environment", "small_maze", "--episodes", "7", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["solve_rate"], found["solved"], found["episodes"]) == (1.0, 7, 7)
    assert found["failures"] == []
    assert found["policy"] == "lab_g.walk.approach"
    assert found["files"] == 5
    assert found["mean_reward"] == -found["mean_steps"]
    assert [warning.partition(":")[0] for warning in found["warnings"]] == [
        "the held-out episodes are public, because there is no private seed"
    ]
    case = "submission-small_maze"
    assert Path(found["run"]).name.endswith("-grade")
    assert proctor("show", "latest", case)[1].startswith(f"{case}: passed, solve rate 1.00 (7 of 7 episodes)")
    assert "solve rate" in proctor("report", "latest")[1]
    status, out, _ = proctor("replay", "latest", case, "3")
    assert (status, "The replay is equal" in out) == (0, True)


def test_what_went_wrong_is_told_by_error(proctor: Command) -> None:
    command = ("grade", "astray:Up", "--environment=small_maze", "--set=evaluation.episodes=9", "--side-by-side=2")
    status, out, _ = proctor(*command, "--set=environment.small_maze.max_steps=3", "--set=evaluation.seed=1")
    assert status == 0
    assert "of 9 solved\n" in out
    assert ": KeyError: ('nope', 'xxx" in out
    assert "x… (approach.py:10)\n" in out
    assert "\n  unsolved " in out
    assert "see one: proctor replay " in out


def test_a_folder_with_several_policies_says_how_to_choose(proctor: Command) -> None:
    status, out, _ = proctor("grade", "astray", "--environment", "small_maze", "--episodes", "2")
    assert status == 0
    assert "approach.py has no class GeneratedApproach; choose with --policy; it has Up, Down" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["empty", "--environment", "small_maze"], "empty has no approach.py; name the folder that holds it"),
        (["nowhere", "--environment", "small_maze"], "nowhere does not exist"),
        (["astray", "--environment", "smal_maze"], "(conf/environment/smal_maze.yaml) in "),
        (["astray", "--environment", "smal_maze"], "; did you mean small_maze"),
        (["astray", "--environment", ""], "--environment : the name is empty; choose from: "),
        (["astray", "--environment", "kinder/Motion2D-p9-v0"], "did you mean one of kinder/Motion2D-p"),
        (["astray", "--environment", "small_maze", "--episodes", "0"], "'0' is not a number from 1 on"),
        (["astray", "--environment", "small_maze", "--set", "limits.turn=1"], "--set limits.turn=1: unknown key"),
        (["astray", "--environment", "small_maze", "--set", "suite.name=x"], "graded without a suite"),
        (
            ["astray", "--environment", "small_maze", "--python", "/nowhere"],
            "cannot run programs: No such file or directory",
        ),
        (["astray", "--environment", "small_maze", "--python", "/bin/false"], "it needs NumPy and Gymnasium"),
        (["astray", "--environment", "small_maze", "--runs-dir", "astray"], "astray also holds the run"),
        (["astray"], "the following arguments are required: --environment"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    proctor: Command, folder: Path, arguments: list[str], told: str
) -> None:
    before = sorted(folder.glob("runs/*"))
    status, _, err = proctor("grade", *arguments)
    assert status == 2
    assert told in err
    assert sorted(folder.glob("runs/*")) == before


def test_the_python_of_a_missing_extra_says_how_to_install_it(
    proctor: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    status, _, err = proctor("grade", "astray", "--environment", "small_maze", "--python", "libero")
    assert status == 2
    assert "--python libero: the extra libero is not installed: run `proctor setup --extra libero`" in err


def test_a_world_that_fails_is_told_and_not_graded(proctor: Command, folder: Path) -> None:
    (folder / "conf/environment").mkdir(parents=True, exist_ok=True)
    (folder / "worlds_g.py").write_text(
        "from harness.environments.maze import Maze\n\nclass Broken(Maze):\n    def reset(self, seed):\n"
        "        if seed >= 10_000:\n            raise RuntimeError('the simulator broke')\n"
        "        return super().reset(seed)\n"
    )
    (folder / "conf/environment/broken.yaml").write_text(
        "name: broken\nkind: worlds_g:Broken\narguments: {min_size: 3, max_size: 5}\n"
    )
    status, out, _ = proctor("grade", "astray:Up", "--environment", "broken", "--episodes", "2")
    assert status == 1
    assert "broken: not graded (environment_failed): environment broken: episode 0 failed: RuntimeError" in out
