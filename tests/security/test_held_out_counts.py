"""Nobody in the room can learn which numbers of objects are held out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agent.prompt import TEXTS, facts, render
from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment, Plain, Step
from harness.environments.factory import described
from harness.mcp.renders import Renders
from harness.mcp.tools import EnvironmentTools, ToolFault
from tests.support.cases import PROMPT, make_case
from tests.support.counted import corridor
from tests.support.hosted import made_here
from tests.support.project import ROOT, Project
from tests.support.sandboxes import PYTHON, bubblewrap, finish, request
from tests.unit.test_access import BlackBox

HELD_OUT = 73317
HERE = Path(__file__).parent
CONF = ROOT / "conf"

POLICY = """\
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        self.spaces = f"{action_space} {observation_space}"

    def reset(self, state, info):
        if state["doors"] > 4:
            raise NotImplementedError(f"so many doors, and I knew only {self.spaces}")

    def get_action(self, state):
        return 1
"""


class Walker:
    """A policy that walks."""

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float) -> None:
        pass

    def act(self, observation: Plain, timeout_s: float) -> Plain:
        return 1

    def update(self, step: Step, timeout_s: float) -> None:
        pass


@contextmanager
def walker(_folder: str) -> Iterator[Walker]:
    yield Walker()


def answers(environment: Environment, states: list[Plain]) -> Iterator[str]:
    """Yield what the tools of a session answer, also to these states."""
    with TemporaryDirectory() as folder:
        tools = EnvironmentTools(
            environment,
            renders=Renders(Path(folder), "/sandbox/renders"),
            open_policy=walker,
            policy_errors=(),
            workspace="/sandbox/workspace",
        )
        calls: list[Any] = [lambda seed=seed: tools.render_state(seed, None, "first") for seed in range(5)]
        calls += [lambda state=state: tools.render_state(0, state, "made-up") for state in states]
        calls += [lambda seed=seed: tools.render_policy(".", seed, 10_000, 3) for seed in range(4)]
        for call in calls:
            try:
                answer = call()
                yield answer.text + repr([picture.png for picture in answer.pictures])
            except ToolFault as fault:
                yield f"fault: {fault}"


def shown(conf: EnvironmentConf, states: list[Plain]) -> list[str]:
    """Return everything that the room gets of an environment: its process's facts, prompts, spaces, tools' answers."""
    environment, evaluation, limits = made_here(conf), make_case().evaluation, make_case().limits
    about = facts(
        conf, evaluation, limits, description=environment.describe(), tools={tool: tool for tool in conf.tools}
    )
    prompts = [render(PROMPT, text, about) for text in TEXTS]
    return [repr(described(conf)), *prompts, repr(environment.spaces()), *answers(environment, states)]


counts = st.integers(0, 60)


@given(st.lists(counts, max_size=5, unique=True), st.lists(counts | st.just(HELD_OUT), max_size=3))
@settings(deadline=None, max_examples=25)
def test_what_the_room_gets_is_the_same_whatever_is_held_out(others: list[int], tried: list[int]) -> None:
    held_out = [number for number in others if number not in (1, 2, 4)]
    states: list[Plain] = [{"count": number, "state": {"doors": number, "place": 0}} for number in tried]
    assert shown(corridor(held_out), states) == shown(corridor([HELD_OUT]), states)


def test_states_with_a_held_out_count_and_with_any_other_are_refused_in_the_same_words() -> None:
    states: list[Plain] = [{"count": number, "state": {"doors": number}} for number in (HELD_OUT, 3, 10**6)]
    faults = [answer for answer in answers(made_here(corridor([HELD_OUT])), states) if answer.startswith("fault")]
    assert faults == ["fault: bad state: the count of a state is one of 1, 2, 4"] * 3


def told_by_a_black_box(folder: Path, held_out: list[int]) -> list[str]:
    """Return all that programs of an agent get of a black box with these held-out counts."""
    tried: list[Any] = [{"count": number, "state": {"doors": number, "place": 0}} for number in (3, 4, 5, HELD_OUT)]
    folder.mkdir()
    with ExitStack() as stack:
        box = BlackBox(corridor(held_out, visibility="api", primitives="planning"), folder, stack)
        env = stack.enter_context(box.client.make())
        calls: list[Any] = [partial(env.reset, seed) for seed in (*range(12), 9_999, HELD_OUT)]
        calls += [partial(env.set_state, state) for state in tried]
        calls += [env.get_state, env.render, partial(env.step, 1), partial(env.step, HELD_OUT)]
        told = [f"{env.max_steps} {env.action_space} {env.observation_space} {sorted(box.client.primitives())}"]
        for call in calls:
            try:
                told.append(repr(call()))
            except box.client.WorldError as error:
                told.append(f"{type(error).__name__}: {error}")
        port = str(box.listener.getsockname()[1])
    files = [path for path in sorted((folder / "kit").rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    return [*told, *(path.read_text().replace(port, "PORT") for path in files)]


def test_programs_that_play_a_black_box_learn_no_held_out_count(tmp_path: Path) -> None:
    told = told_by_a_black_box(tmp_path / "one", [HELD_OUT])
    assert told == told_by_a_black_box(tmp_path / "other", [3, 5])
    assert "WorldError: the count of a state is one of 1, 2, 4" in told
    assert "seed must be a whole number" in "".join(told)


def test_an_agent_that_searches_its_room_finds_no_held_out_count(tmp_path: Path) -> None:
    project = Project(tmp_path)
    counted = f"{{argument: doors, design: [1, 2, 4], held_out: [{HELD_OUT}], steps_per_object: 2}}"
    project.write(
        "conf/environment/corridor.yaml",
        f'name: corridor\nkind: "tests.support.counted:Corridor"\nmax_steps: 3\ncounts: {counted}\n',
    )
    project.write(
        "conf/suite/room.yaml", "name: room\nbackends: [claude]\nmodels: [scripted]\nenvironments: [corridor]\n"
    )
    state = {"count": 3, "state": {"doors": 3, "place": 0}}
    calls = [
        {"mcp": "render_state", "arguments": {"seed": 2}},
        {"mcp": "render_state", "arguments": {"seed": 0, "state": state}},
    ]
    script = {
        "turns": [
            {"text": "I look.", "calls": calls},
            {"text": "I write.", "calls": [{"write": "approach.py", "content": POLICY}]},
            {"text": "I hunt.", "calls": [{"write": "hunt.py", "content": (HERE / "count_hunter.py").read_text()}]},
            {"text": "I run it.", "calls": [{"run": "python hunt.py"}]},
            {"text": "I try.", "calls": [{"mcp": "render_policy", "arguments": {"seed": 2}}]},
            {"text": "Done."},
        ]
    }
    project.write("conf/scripts/corridor.yaml", json.dumps(script))
    done = project.pytest("--suite", "room", "--set", "evaluation.episodes=8")
    [record] = project.records.values()
    assert record.score is not None, done.stdout + done.stderr
    assert {count: score.solved for count, score in record.score.by_count.items()} == {1: 2, 2: 2, 4: 2, HELD_OUT: 0}
    folder = project.folder / "runs/latest/claude-scripted-corridor"
    graded = {"episodes.jsonl", "actions.bin", "result.json"}
    room = {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in graded
    }
    told = b"\n".join(room.values()).decode(errors="replace")
    assert re.search(r"looked at \d{2,} texts, found \[\]", told)
    assert "the count of a state is one of 1, 2, 4" in told
    assert [str(path) for path, text in room.items() if str(HELD_OUT).encode() in text] == []
    assert "I knew only Discrete(2) Dict(.doors.: Discrete(100)" in record.explanation.replace("'", ".")


@pytest.mark.parametrize("shown", [CONF, ROOT], ids=["the folder", "a folder above"])
def test_what_proctor_ships_cannot_be_read_where_a_box_shows_its_folder(tmp_path: Path, shown: Path) -> None:
    look = f"ls -A {CONF}; cat {CONF}/environment/motion2d_generalized.yaml {CONF}/scripts/small_maze.yaml"
    with bubblewrap().open(request(tmp_path / "room", readable=(shown, *PYTHON.readable))) as box:
        _, output = finish(box, ["sh", "-c", look])
    assert output == ""
    assert (tmp_path / "room/stderr").read_text().count("No such file") == 2
