"""Episodes are drawn after grading. An environment that cannot be drawn costs a warning, and time within a limit."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from harness.case import SUBMISSION, BackendConf
from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.maze import Maze
from harness.evaluation import animation, pictures
from harness.evaluation.animation import small, small_webp
from harness.evaluation.pictures import draw_pictures, wants_pictures
from harness.evaluation.playing import Episode
from harness.grading import EvaluationConf
from tests.support.cases import REMOTE, make_case
from tests.support.replayed import graded
from tests.support.troubled_project import troubled_project

TURNS_ROUND = """\
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        self.actions = -1

    def reset(self, state, info):
        pass

    def get_action(self, state):
        self.actions += 1
        return self.actions % 4
"""

SEEDS = (20_000, 20_014)
"""The seeds of a maze that the program does not solve, and of one that it solves in one step."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with troubled_project(tmp_path_factory.mktemp("project")):
        yield


def mine(**trouble: str) -> HostedEnvironment:
    return make_environment(EnvironmentConf("mine", "troubled:Troubled", {**trouble}, 20))


Graded = tuple[CaseFolder, list[Episode]]


@pytest.fixture(scope="module")
def case(project: None, tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """The files and the episodes of a graded case."""
    folder = tmp_path_factory.mktemp("graded") / "case"
    with closing(mine()) as environment:
        episodes = graded(environment, folder, TURNS_ROUND, SEEDS)
    assert [(str(episode.outcome), episode.steps) for episode in episodes] == [("unsolved", 20), ("solved", 1)]
    return CaseFolder(folder), episodes


def test_the_first_solved_and_the_first_unsolved_episode_are_drawn(case: Graded) -> None:
    files, episodes = case
    with closing(mine()) as environment:
        assert draw_pictures(environment, files, episodes, SEEDS) == []
    maze = Maze(3, 5, 20)
    for name, seed, actions in (("unsolved-0", SEEDS[0], 20), ("solved-1", SEEDS[1], 1)):
        with Image.open(files.pictures / f"{name}.webp") as drawn:
            maze.reset(seed)
            assert np.array_equal(np.asarray(drawn.convert("RGB")), maze.render()), "without a loss"
            for action in range(actions):
                maze.step(action % 4)
            drawn.seek(drawn.n_frames - 1)  # type: ignore[attr-defined]  # an animation has it
            assert np.array_equal(np.asarray(drawn.convert("RGB")), maze.render())
    assert sorted(path.name for path in files.pictures.iterdir()) == ["solved-1.webp", "unsolved-0.webp"]


@pytest.mark.parametrize(
    ("what", "why"),
    [("raise", "failed: RuntimeError: the simulator broke"), ("exit", "exit code 3"), ("asleep", "did not end within")],
)
def test_an_environment_that_cannot_be_drawn_costs_warnings(
    case: Graded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, why: str
) -> None:
    monkeypatch.setattr(pictures, "LIMIT_S", 2.0 if what == "asleep" else 20.0)
    files = CaseFolder(tmp_path)
    files.actions.write_bytes(case[0].actions.read_bytes())
    with closing(mine(where="render", what=what)) as environment:
        warnings = draw_pictures(environment, files, case[1], SEEDS)
    assert [warning.partition(": ")[0] for warning in warnings] == [f"episode {n} has no pictures" for n in (1, 0)]
    assert all(why in warning for warning in warnings), warnings
    assert not files.pictures.exists()


def test_an_episode_that_goes_another_way_now_is_not_drawn(case: Graded, tmp_path: Path) -> None:
    files = CaseFolder(tmp_path)
    files.actions.write_bytes(case[0].actions.read_bytes())
    with closing(mine()) as environment:
        warnings = draw_pictures(environment, files, case[1], SEEDS[::-1])
    assert warnings == [
        f"episode {n} has no pictures: the same actions lead to something else: step 0: the first observation is "
        "another one"
        for n in (1, 0)
    ]


def test_a_case_without_recordings_has_no_pictures_and_no_warning(case: Graded, tmp_path: Path) -> None:
    with closing(mine()) as environment:
        assert draw_pictures(environment, CaseFolder(tmp_path), case[1], SEEDS) == []


def test_pictures_become_smaller_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    images = [small(random.integers(0, 255, (400, 600, 3), np.uint8)) for _ in range(20)]
    assert images[0].size == (320, 213)
    data = small_webp(images)
    assert len(data) <= animation.MOST_BYTES
    with Image.open(io.BytesIO(data)) as drawn:
        assert drawn.size == (160, 107)
    monkeypatch.setattr(animation, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="they take more than 1,000 bytes"):
        small_webp(images)


def test_which_cases_are_drawn_is_configured() -> None:
    scripted = replace(REMOTE, kind="scripted")
    real, written = make_case(provider=REMOTE), make_case(provider=scripted)
    given = replace(real, backend=BackendConf(SUBMISSION, kind="program"))
    asked: dict[Literal["never", "real", "always"], list[bool]] = {
        "never": [False, False, False],
        "real": [True, False, False],
        "always": [True, True, True],
    }
    for pictures_of, wanted in asked.items():
        conf = EvaluationConf(pictures=pictures_of)
        assert [wants_pictures(replace(case, evaluation=conf)) for case in (real, written, given)] == wanted
    assert EvaluationConf().pictures == "real"
