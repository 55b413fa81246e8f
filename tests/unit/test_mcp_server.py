"""The environment's MCP server, with a real MCP client over loopback."""

import base64
import io
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import numpy as np
import pytest
from mcp.client.client import Client
from PIL import Image

from harness.environment_conf import TOOLS, ToolName
from harness.environments.base import Plain, Step
from harness.environments.fidelity import sentence
from harness.environments.maze import Maze
from harness.http_host import HttpHost
from harness.mcp import renders
from harness.mcp.app import PATH, build_app, digest, intake
from harness.mcp.names import NAME
from harness.mcp.renders import Renders
from harness.mcp.tools import ROLLOUT_S, EnvironmentTools, ToolFault

RIGHT = {"agent": [0, 0], "goal": [0, 4], "obstacles": [], "height": 3, "width": 5}


class PolicyFailed(Exception):
    """Raised by a policy host for the agent's own mistakes."""


class Scripted:
    """A policy that plays a list of actions over and over. It raises an exception in the list."""

    def __init__(self, actions: list[Any]) -> None:
        self.actions = actions
        self.played = 0

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float) -> None:
        self.played = 0

    def act(self, observation: Plain, timeout_s: float) -> Plain:
        action = self.actions[self.played % len(self.actions)]
        self.played += 1
        if isinstance(action, Exception):
            raise action
        return action() if callable(action) else action

    def update(self, step: Step, timeout_s: float) -> None:
        pass


class Session:
    """The served tools of one session. The agent's program plays `actions`, in any directory."""

    def __init__(self, folder: Path, host: HttpHost, offered: Sequence[ToolName] = TOOLS) -> None:
        self.folder = folder
        self.actions: list[Any] = [0]
        self.opened: list[str] = []
        self.time = 0.0
        self.tools = EnvironmentTools(
            Maze(3, 5, max_steps=40),
            renders=Renders(folder, "/sandbox/renders"),
            open_policy=self.open_policy,
            policy_errors=(PolicyFailed,),
            workspace="/sandbox/workspace",
            clock=lambda: self.time,
        )
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
        self.served = host.serve(build_app(self.tools, offered), listener, intake())

    def close(self) -> None:
        self.tools.close()
        self.served.close()

    @contextmanager
    def open_policy(self, folder: str) -> Iterator[Scripted]:
        self.opened.append(folder)
        if folder == "broken":
            raise PolicyFailed("no approach.py in there")
        yield Scripted(self.actions)

    def ask(self, question: Callable[[Client], Any]) -> Any:
        async def main() -> Any:
            async with Client(self.url) as client:
                return await question(client)

        return anyio.run(main)

    def call(self, tool: str, **arguments: Any) -> tuple[str, list[Any]]:
        """Return the text and the pictures of an answer."""
        answer = self.ask(lambda client: client.call_tool(tool, arguments))
        assert not answer.is_error, answer.content
        text, *images = answer.content
        return text.text, [np.asarray(Image.open(io.BytesIO(base64.b64decode(image.data)))) for image in images]

    def error(self, tool: str, **arguments: Any) -> str:
        answer = self.ask(lambda client: client.call_tool(tool, arguments))
        assert answer.is_error
        [text] = answer.content
        return str(text.text)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture(scope="module")
def host() -> Iterator[HttpHost]:
    with HttpHost() as host:
        yield host


@pytest.fixture
def session(tmp_path: Path, host: HttpHost) -> Iterator[Session]:
    with closing(Session(tmp_path / "renders", host)) as session:
        yield session


@pytest.mark.parametrize("only", TOOLS)
def test_it_offers_only_the_tools_that_are_chosen(tmp_path: Path, host: HttpHost, only: ToolName) -> None:
    with closing(Session(tmp_path / "renders", host, offered=(only,))) as session:
        [tool] = session.ask(lambda client: client.list_tools()).tools
        assert tool.name == only
        [other] = set(TOOLS) - {only}
        assert session.error(other, seed=0) == f"Unknown tool: {other}"


def test_the_digest_depends_on_which_tools_are_offered() -> None:
    digests = {digest(TOOLS), *(digest((tool,)) for tool in TOOLS)}
    assert len(digests) == 3
    assert digest(TOOLS) in digests, "it is the same each time"


def test_it_offers_its_tools_with_their_arguments(session: Session) -> None:
    tools = {tool.name: tool for tool in session.ask(lambda client: client.list_tools()).tools}
    assert tuple(tools) == TOOLS
    assert list(tools["render_state"].input_schema["properties"]) == ["seed", "state", "label"]
    assert list(tools["render_policy"].input_schema["properties"]) == [
        "approach_dir",
        "seed",
        "max_steps",
        "max_frames",
    ]
    assert all(tool.description for tool in tools.values())
    assert NAME == "environment"


def test_render_state_draws_the_first_state_of_a_seed(session: Session) -> None:
    text, [picture] = session.call("render_state", seed=4, label="first")
    maze = Maze(3, 5, max_steps=40)
    observation, _ = maze.reset(4)
    np.testing.assert_array_equal(picture, maze.render())
    assert text.startswith("picture: /sandbox/renders/0001-first.png\nstate: {")
    assert f'"agent": {observation["agent"]}' in text
    assert text.endswith(f"\n{sentence('exact')}")
    np.testing.assert_array_equal(np.asarray(Image.open(session.folder / "0001-first.png")), picture)


def test_render_state_draws_a_given_state(session: Session) -> None:
    _, [picture] = session.call("render_state", seed=0, state=RIGHT)
    maze = Maze(3, 5, max_steps=40)
    maze.set_state(RIGHT)
    np.testing.assert_array_equal(picture, maze.render())
    assert "bad state: agent column" in session.error("render_state", seed=0, state=RIGHT | {"agent": [0, 9]})
    assert "bad state" in session.error("render_state", seed=0, state=[1, 2])


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RIGHT | {"speed": 1e12}, "state.speed must be a number from -1e+09 to 1e+09; got 1000000000000.0"),
        ([0.0, [float("inf")]], r"state[1][0] must be a number from"),
        ({"agent": [0, -1e300]}, "state.agent[1] must be a number from"),
    ],
)
def test_absurd_numbers_in_a_state_are_refused(session: Session, state: Any, said: str) -> None:
    with pytest.raises(ToolFault) as refused:
        session.tools.render_state(0, state, "x")
    assert f"bad state: {said}" in str(refused.value)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("seed", [-1, 10_000, 2**62, 10**30])
def test_a_seed_out_of_range_is_refused(session: Session, tool: str, seed: int) -> None:
    assert "seed must be a whole number from 0 to 9999" in session.error(tool, seed=seed)


@pytest.mark.parametrize("seed", [10_000, 2**62, -1, 12345.0, "12345", True])
def test_no_part_of_a_state_is_the_seed_of_a_graded_episode(session: Session, seed: Any) -> None:
    for state in ({"seed": seed}, RIGHT | {"random": [{"seed": seed}]}):
        assert "seed must be a whole number from 0 to 9999" in session.error("render_state", seed=0, state=state)
    assert session.names() == []


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("a b/c", "0001-a_b_c.png"),
        ("../../etc/passwd", "0001-etc_passwd.png"),
        ("/var/x\0y\n", "0001-var_x_y.png"),
        ("ü" * 9 + "x" * 90, f"0001-{'x' * 40}.png"),
    ],
)
def test_a_label_cannot_leave_the_folder(session: Session, label: str, name: str) -> None:
    session.call("render_state", seed=0, label=label)
    assert session.names() == [name]


@pytest.mark.parametrize("label", ["", "..", "/", "💥"])
def test_an_empty_label_is_refused(session: Session, label: str) -> None:
    assert "label must have letters or digits" in session.error("render_state", seed=0, label=label)
    assert session.names() == []


@pytest.mark.parametrize(
    ("given", "folder"),
    [(".", "."), ("mine", "mine"), ("/sandbox/workspace/a/./b", "a/b"), ("/sandbox/workspace", ".")],
)
def test_a_directory_of_the_workspace_is_opened_by_its_relative_name(session: Session, given: str, folder: str) -> None:
    session.call("render_policy", approach_dir=given, max_steps=1)
    assert session.opened == [folder]


@pytest.mark.parametrize("given", ["", "..", "a/../../b", "/", "/etc", "/sandbox/workspace2", "a\0b", "x" * 2000])
def test_any_other_directory_is_refused(session: Session, given: str) -> None:
    assert "approach_dir must be a directory in /sandbox/workspace" in session.error(
        "render_policy", approach_dir=given
    )
    assert session.opened == []


def solution(seed: int) -> list[int]:
    """Return actions that solve the maze of this seed. Finds them by trying all sequences."""
    maze = Maze(3, 5, max_steps=40)
    maze.reset(seed)
    routes: list[tuple[Plain, list[int]]] = [(maze.get_state(), [])]
    for state, route in routes:
        for action in range(4):
            maze.set_state(state)
            step = maze.step(action)
            if step.terminated:
                return [*route, action]
            if all(step.observation != known for known, _ in routes):
                routes.append((step.observation, [*route, action]))
    raise AssertionError("a maze without a solution")


def test_render_policy_describes_and_shows_a_solved_episode(session: Session) -> None:
    session.actions = solution(3)
    count = len(session.actions)
    text, pictures = session.call("render_policy", seed=3, max_frames=8)
    assert text.splitlines()[:2] == ["solved", f"steps: {count}; total reward: {-count}"]
    assert len(pictures) == len(session.names()) == min(8, count + 1)
    assert session.names()[0] == "0001-seed3-step0000.png"
    assert f"step {count}: /sandbox/renders/" in text


@pytest.mark.parametrize(
    ("max_steps", "max_frames", "steps"),
    [(24, 3, [0, 12, 24]), (24, 1, [24]), (1000, 5, [0, 8, 24, 32, 40]), (3, 8, [0, 1, 2, 3])],
)
def test_the_frames_are_spread_over_the_episode(
    session: Session, max_steps: int, max_frames: int, steps: list[int]
) -> None:
    text, pictures = session.call("render_policy", seed=0, max_steps=max_steps, max_frames=max_frames)
    assert text.startswith("not solved within")
    shown = [int(line.split()[1].rstrip(":")) for line in text.splitlines()[2:]]
    assert len(shown) == len(pictures) == len(steps)
    assert all(abs(one - other) <= 4 for one, other in zip(shown, steps, strict=True))
    assert shown[-1] == steps[-1]


def test_there_are_at_most_eight_frames(session: Session) -> None:
    _, pictures = session.call("render_policy", seed=0, max_frames=1000)
    assert len(pictures) == 8


def test_an_error_in_the_program_is_reported(session: Session) -> None:
    session.actions = [0, PolicyFailed("Traceback: it broke")]
    text, pictures = session.call("render_policy", seed=0)
    assert text.startswith("not solved: the program failed at step 1: Traceback: it broke\nsteps: 1;")
    assert len(pictures) == 2
    session.actions = [0, 0, "up"]
    text, _ = session.call("render_policy", seed=0)
    assert text.startswith("not solved: invalid action at step 2: the action must be one of the integers")
    assert "no approach.py in there" in session.error("render_policy", approach_dir="broken")
    for arguments in ({"max_steps": 0}, {"max_frames": 0}):
        assert "must be at least 1" in session.error("render_policy", **arguments)


def test_an_episode_is_stopped_in_time(session: Session) -> None:
    def slowly() -> int:
        session.time += ROLLOUT_S / 4
        return 0

    session.actions = [slowly]
    text, _ = session.call("render_policy", seed=0)
    assert text.startswith(f"not solved: stopped after {ROLLOUT_S:g} s")
    assert "steps: 4;" in text


def test_pictures_are_limited_in_number_and_size(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renders, "MAX_FILES", 2)
    for _ in range(2):
        session.call("render_state", seed=0)
    assert "at most 2 files" in session.error("render_state", seed=0)
    monkeypatch.setattr(renders, "MAX_FILES", 200)
    monkeypatch.setattr(renders, "MAX_BYTES", 1000)
    assert "1,000 bytes" in session.error("render_state", seed=0)
    assert len(session.names()) == 2


def test_a_second_server_continues_the_count(session: Session) -> None:
    session.call("render_state", seed=0, label="one")
    later = Renders(session.folder, "/sandbox/renders/")
    assert later.save(np.zeros((2, 2, 3), np.uint8), "two").path == "/sandbox/renders/0002-two.png"


def test_a_long_episode_does_not_block_the_server_and_calls_run_one_at_a_time(session: Session) -> None:
    started, go_on = threading.Event(), threading.Event()

    def wait() -> int:
        started.set()
        assert go_on.wait(10)
        return 0

    session.actions = [wait]
    texts: dict[str, str] = {}

    def render_policy() -> None:
        texts["policy"] = session.call("render_policy", seed=0, max_steps=2)[0]

    def render_state() -> None:
        texts["state"] = session.call("render_state", seed=1)[0]

    calls = [threading.Thread(target=call) for call in (render_policy, render_state)]
    calls[0].start()
    assert started.wait(10)
    calls[1].start()
    assert len(session.ask(lambda client: client.list_tools()).tools) == 2
    assert "state" not in texts
    go_on.set()
    for call in calls:
        call.join(10)
    assert "steps: 2" in texts["policy"]
    assert "picture" in texts["state"]


def test_closing_ends_the_running_episode_and_waits_for_it(session: Session) -> None:
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def wait() -> int:
        started.set()
        assert go_on.wait(10)
        return 0

    def render_policy() -> None:
        session.call("render_policy", seed=0)
        ended.set()

    session.actions = [wait]
    call = threading.Thread(target=render_policy)
    closing = threading.Thread(target=session.tools.close)
    call.start()
    assert started.wait(10)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive()
    go_on.set()
    closing.join(10)
    call.join(10)
    assert ended.is_set()


def test_nothing_touches_the_environment_after_the_close(session: Session) -> None:
    session.tools.close()
    session.tools.close()
    assert "the session is over" in session.error("render_state", seed=0)
    with pytest.raises(ToolFault, match="over"):
        session.tools.render_policy(".", 0, 1, 1)


def test_other_hosts_are_refused(session: Session) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    refused = httpx2.post(session.url, json=message, headers={**accept, "host": "evil.example"})
    assert refused.status_code == 421
    refused = httpx2.post(session.url, json=message, headers={**accept, "origin": "http://evil.example"})
    assert refused.status_code == 403
