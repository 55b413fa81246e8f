"""A program is given the same primitives while it is developed, when it is tried, and when it is graded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from textwrap import dedent

import pytest

from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf, PrimitiveLevel
from harness.environments.factory import make_environment
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.policy import PolicyHost
from harness.evaluation.policy_link import PolicyError
from harness.evaluation.printed import PolicyLog
from harness.evaluation.private_world import PrivateWorld
from harness.evaluation.rollout import evaluate
from harness.evaluation.submission import collect
from harness.grading import EvaluationConf
from harness.imports import make_importable
from harness.primitives.granting import PRIMITIVES, granted
from tests.support import troubled
from tests.support.sandboxes import bubblewrap
from tests.unit.test_access import BlackBox

CAREFUL = """
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        self.collides = primitives["check_action_collision"]
        self.names = sorted(primitives)
        state = {"agent": [0, 0], "goal": [0, 2], "obstacles": [[1, 0]], "height": 3, "width": 3}
        assert [self.collides(state, action) for action in range(4)] == [True, True, True, False]

    def reset(self, state, info):
        self.seen = set()

    def get_action(self, state):
        open_ways = [action for action in range(4) if not self.collides(state, action)]
        moves = {0: (-1, 0), 1: (1, 0), 2: (0, -1), 3: (0, 1)}
        def after(action):
            return tuple(a + b for a, b in zip(state["agent"], moves[action]))
        self.seen.add(tuple(state["agent"]))
        goal = state["goal"]
        fresh = [action for action in open_ways if after(action) not in self.seen] or open_ways
        return min(fresh, key=lambda action: sum(abs(a - b) for a, b in zip(after(action), goal)))
"""


def conf_of(level: PrimitiveLevel, **options: str) -> EnvironmentConf:
    return EnvironmentConf("m", "maze", {"min_size": 3, "max_size": 4}, 40, primitives=level, **options)  # type: ignore[arg-type]  # of any name


def program(folder: Path, text: str) -> Path:
    (folder / "workspace").mkdir()
    (folder / "scratch").mkdir()
    (folder / "workspace/approach.py").write_text(dedent(text))
    return folder


def graded(folder: Path, conf: EnvironmentConf, episodes: int = 3) -> list[Episode]:
    with closing(make_environment(conf)) as environment:
        _score, played = evaluate(
            environment,
            collect(folder / "workspace", folder / "submission"),
            bubblewrap(),
            conf=EvaluationConf(episodes=episodes, side_by_side=1),
            seeds=range(50, 50 + episodes),
            scratch=folder / "scratch",
            files=CaseFolder(folder),
            log=PolicyLog(folder / "policy.log"),
            progress=lambda _done, _scheduled: None,
        )
    return played


def test_a_graded_program_asks_a_private_environment(tmp_path: Path) -> None:
    played = graded(program(tmp_path, CAREFUL), conf_of("low_level"))
    assert {episode.outcome for episode in played} <= {EpisodeOutcome.SOLVED, EpisodeOutcome.UNSOLVED}, played
    assert EpisodeOutcome.SOLVED in {episode.outcome for episode in played}


@pytest.mark.parametrize(
    ("level", "names"),
    [
        ("none", None),
        ("low_level", ["BiRRT", "check_action_collision"]),
        ("planning", ["BiRRT", "check_action_collision", "csp"]),
    ],
)
def test_the_level_says_which_primitives_there_are(
    tmp_path: Path, level: PrimitiveLevel, names: list[str] | None
) -> None:
    text = """
    class GeneratedApproach:
        def __init__(self, action_space, observation_space, primitives=None):
            self.names = None if primitives is None else sorted(primitives)
        def reset(self, state, info):
            pass
        def get_action(self, state):
            return self.names
    """
    folder = program(tmp_path, text)
    with (
        closing(make_environment(conf_of(level))) as environment,
        closing(PrivateWorld(environment)) as world,
        PolicyHost(bubblewrap(), folder / "workspace", folder / "scratch", environment.spaces(), world=world) as policy,
    ):
        policy.reset(*environment.reset(0))
        assert policy.act(environment.get_state()) == names
        assert sorted(environment.granted.told) == (names or [])
        assert {path.parent.name for path in environment.granted.files.values()} <= {"primitives"}


def test_only_what_the_environment_has_is_granted() -> None:
    assert granted("planning", ()).names == ("BiRRT", "csp")
    assert granted("planning", PRIMITIVES).names == tuple(PRIMITIVES)
    assert granted("none", PRIMITIVES).request() is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("check(state, 9)", "PrimitiveError: check_action_collision: the action must be one of the integers"),
        ("check({}, 1)", "PrimitiveError: check_action_collision: a maze state is an object"),
        ("check(state)", "PrimitiveError: check_action_collision: "),
        ("check(state, object())", "ValueError: a value of type object is not plain data"),
        ("check.__closure__[0].cell_contents({'primitive': 'close', 'with': []})['done']", "KeyError"),
    ],
)
def test_a_mistake_is_an_error_in_the_program(tmp_path: Path, call: str, said: str) -> None:
    text = f"""
    class GeneratedApproach:
        def __init__(self, action_space, observation_space, primitives=None):
            self.check = primitives["check_action_collision"]
        def reset(self, state, info):
            pass
        def get_action(self, state):
            check = self.check
            return {call}
    """
    [episode] = graded(program(tmp_path, text), conf_of("low_level"), episodes=1)
    assert episode.outcome is EpisodeOutcome.CRASHED
    assert said in (episode.error or "")


@pytest.fixture
def trouble(tmp_path: Path) -> Iterator[Callable[[str], EnvironmentConf]]:
    """A function that returns the configuration of an environment that gets into trouble in `set_state`."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "troubled.py").write_bytes(Path(troubled.__file__).read_bytes())
    before = list(sys.path)
    make_importable(folder)
    yield lambda what: EnvironmentConf(
        "m", "troubled:Troubled", {"where": "set_state", "what": what}, 20, primitives="low_level", call_s=1.0
    )
    sys.path[:] = before


def test_a_program_that_breaks_its_private_environment_does_not_break_its_episode(
    tmp_path: Path, trouble: Callable[[str], EnvironmentConf]
) -> None:
    text = """
    class GeneratedApproach:
        def __init__(self, action_space, observation_space, primitives=None):
            self.check = primitives["check_action_collision"]
        def reset(self, state, info):
            pass
        def get_action(self, state):
            self.check(state, 1)
    """
    played = graded(program(tmp_path, text), trouble("exit"), episodes=2)
    assert [episode.outcome for episode in played] == [EpisodeOutcome.CRASHED] * 2
    assert all("the environment's process has ended" in (episode.error or "") for episode in played)


def test_a_program_is_tried_with_the_same_error(tmp_path: Path, trouble: Callable[[str], EnvironmentConf]) -> None:
    text = """
    class GeneratedApproach:
        def __init__(self, action_space, observation_space, primitives=None):
            primitives["check_action_collision"]({}, 1)
    """
    folder = program(tmp_path, text)
    with (
        closing(make_environment(trouble("exit"))) as environment,
        closing(PrivateWorld(environment)) as world,
        PolicyHost(bubblewrap(), folder / "workspace", folder / "scratch", environment.spaces(), world=world) as policy,
        pytest.raises(PolicyError, match=r"its process ended \(exit code 3\) during check_action_collision"),
    ):
        policy.load()


@pytest.mark.parametrize("visibility", ["source", "api"])
def test_an_agents_programs_get_the_same_primitives(tmp_path: Path, visibility: str) -> None:
    state = {"agent": [0, 0], "goal": [0, 2], "obstacles": [[1, 0]], "height": 3, "width": 3}
    with ExitStack() as stack:
        box = BlackBox(conf_of("planning", visibility=visibility), tmp_path, stack)
        primitives = box.client.primitives()
        assert sorted(primitives) == ["BiRRT", "check_action_collision", "csp"]
        assert [primitives["check_action_collision"](state, action) for action in range(4)] == [True, True, True, False]
        assert primitives["csp"].CSPVariable("x", None).name == "x"
        assert "the action must be one of" in box.refused(lambda: primitives["check_action_collision"](state, 7))
        assert box.use.told(None).primitives == 5
        if visibility == "source":
            assert box.refused(box.client.make) == "a request is a dict with do and with; do is one of: primitive"
        else:
            with box.client.make() as env:
                env.reset(seed=0)
