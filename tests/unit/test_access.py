"""A black box: an agent's programs play an environment through `env_client`, and learn nothing of its source."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from msgspec.structs import replace
from PIL import Image

from harness.access import server
from harness.access.kit import CLIENT, SOURCE, Access
from harness.access.server import ServedWorld
from harness.access.visit import MAX_REQUEST, Pace
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.environments.hosts import EnvironmentFailed
from harness.environments.object_centric import build_space
from harness.environments.scrubbing import scrubbed
from harness.suite.config import load_environments
from harness.telemetry import WorldUse
from tests.support.hosted import made_here
from tests.support.project import CONF
from tests.support.troubled_project import troubled_project

MAZE = EnvironmentConf("dark", "maze", {"min_size": 3, "max_size": 5}, 20, visibility="api")
INVENTED = {"agent": [0, 0], "goal": [0, 2], "obstacles": [], "height": 3, "width": 3}
PATIENCE_S = 20.0


class BlackBox:
    """A served black box, and the module `env_client` as an agent has it."""

    def __init__(self, conf: EnvironmentConf, folder: Path, stack: ExitStack) -> None:
        self.use = WorldUse()
        environment = stack.enter_context(closing(make_environment(conf)))
        access = Access(conf, environment, self.use)
        assert access.endpoints == ("world",)
        assert CLIENT in access.links
        access.fill(folder / "kit")
        self.listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        self.world: ServedWorld = stack.enter_context(closing(access.serve(self.listener, folder / "kit")))
        spec = spec_from_file_location("env_client", folder / "kit" / CLIENT)
        assert spec is not None
        assert spec.loader is not None
        self.client: Any = module_from_spec(spec)
        spec.loader.exec_module(self.client)

    def refused(self, call: Callable[[], object]) -> str:
        """Return the error that a call of the client raises."""
        with pytest.raises(self.client.WorldError) as caught:
            call()
        return str(caught.value)

    def ended(self) -> str:
        """Return why the session must end, as soon as that is known."""
        began = time.monotonic()
        while self.world.fault is None and time.monotonic() < began + PATIENCE_S:
            time.sleep(0.01)
        return str(self.world.fault)


Opened = Callable[..., BlackBox]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The root folder of a project with the module `troubled`."""
    with troubled_project(tmp_path_factory.mktemp("project")):
        yield


@pytest.fixture
def opened(tmp_path: Path, project: None) -> Iterator[Opened]:
    """A function that serves a black box."""
    with ExitStack() as stack:

        def opened(where: str = "", what: str = "") -> BlackBox:
            conf = EnvironmentConf("dark", "troubled:Troubled", {"where": where, "what": what}, 20, visibility="api")
            return BlackBox(MAZE if not where else conf, tmp_path, stack)

        yield opened


def test_a_program_plays_as_in_the_environment_itself(opened: Opened, tmp_path: Path) -> None:
    box, same = opened(), made_here(MAZE)
    with box.client.make() as env:
        assert env.reset(seed=7) == same.reset(7)
        assert (env.action_space.n, env.max_steps) == (4, 20)
        for action in (1, 3, 0):
            step = same.step(same.action(action))
            assert env.step(action) == (step.observation, -1.0, step.terminated, False, {})
        picture = env.render(tmp_path / "state.png")
        assert np.array_equal(picture, same.render())
        assert np.array_equal(np.asarray(Image.open(tmp_path / "state.png")), picture)
        env.set_state(INVENTED)
        assert env.get_state() == INVENTED
    used = box.use.told(agent_s=None)
    assert (used.clients, used.resets, used.steps, used.renders, used.states, used.errors) == (1, 1, 3, 1, 2, 0)
    assert used.seed_list == [7]
    assert used.world_s > 0


def test_a_program_plays_a_black_box_of_object_centric_states(tmp_path: Path) -> None:
    generalized = load_environments(CONF)["motion2d_generalized"]
    conf = replace(generalized, visibility="api", primitives="low_level")
    same = made_here(conf)
    space = build_space(same.spaces()["observation_space"])
    with ExitStack() as stack:
        box = BlackBox(conf, tmp_path, stack)
        env = stack.enter_context(box.client.make())
        observed: Any = space.from_plain(same.reset(2)[0])
        state, _ = env.reset(seed=2)
        assert type(state).__name__ == "ObjectCentricState"
        assert state.get_object_names() == observed.get_object_names()
        assert state.allclose(observed)
        action = np.full(5, 0.01, np.float32)
        after, reward, terminated, truncated, _ = env.step(action)
        step = same.step(same.action(action))
        assert after.allclose(space.from_plain(step.observation))
        assert (reward, terminated, truncated) == (-1.0, False, False)
        kept = env.get_state()
        assert kept["count"] == 2
        env.reset(seed=0)
        env.set_state(kept)
        assert env.get_state() == kept
        assert box.client.primitives()["check_action_collision"](after, action) is False


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda env: env.reset(seed=10_000), "seed must be a whole number from 0 to 9999; got 10000"),
        (lambda env: env.reset(seed=-1), "seed must be"),
        (lambda env: env.reset(seed=True), "seed must be"),
        (lambda env: env.reset(seed="1"), "seed must be"),
        (lambda env: env.set_state({"seed": 12_345}), "seed must be"),
        (lambda env: env.set_state({"agent": float("nan")}), "bad state: state.agent must be a number"),
        (lambda env: env.set_state({**INVENTED, "agent": [0, 9]}), "bad state: state.agent[1] must lie in [0, 4]"),
        (lambda env: env.set_state({"agent": [0, 0]}), "a maze state is an object with exactly the keys"),
        (lambda env: env.step(4), "the action must be one of the integers 0, 1, 2, 3; got 4"),
        (lambda env: env._ask("run", "harness.case:Case", {}), "do is one of: make, reset, step"),
        (lambda env: env._ask("reset", 1, 2), "takes 2 positional arguments"),
        (lambda env: env._ask("make"), "this client has made its environment already"),
    ],
)
def test_what_is_not_allowed_is_refused_and_the_client_goes_on(opened: Opened, call: Any, said: str) -> None:
    box = opened()
    with box.client.make() as env:
        env.reset(seed=1)
        assert said in box.refused(lambda: call(env))
        assert env.reset(seed=1) == env.reset(seed=1)
    assert box.world.fault is None
    assert box.use.told(None).errors == 1


def test_clients_play_side_by_side_and_are_told_when_they_are_too_many(opened: Opened) -> None:
    box = opened()
    environments = [box.client.make() for _ in range(server.MOST_CLIENTS)]
    for seed, env in enumerate(environments):
        env.reset(seed=seed)
    assert [env.get_state() for env in environments] == [
        made_here(MAZE).reset(seed)[0] for seed in range(len(environments))
    ]
    assert box.refused(box.client.make) == "4 environments are open, and more are not allowed: close one"
    environments.pop().close()
    for _ in range(200):  # the server notices soon that one has left
        try:
            environments.append(box.client.make())
            break
        except box.client.WorldError:
            time.sleep(0.02)
    assert len(environments) == server.MOST_CLIENTS
    for env in environments:
        env.close()
    assert "is closed" in box.refused(lambda: environments[0].reset(seed=0))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (MAX_REQUEST + 1).to_bytes(4, "big") + b"x",
        (8).to_bytes(4, "big") + b"\0\0\0\4[1,2",
        b"",
    ],
)
def test_nonsense_ends_its_own_connection_and_no_other(opened: Opened, nonsense: bytes) -> None:
    box = opened()
    with box.client.make() as env, socket.create_connection(box.listener.getsockname()) as other:
        other.sendall(nonsense)
        other.shutdown(socket.SHUT_WR)
        assert other.recv(1) == b""
        env.reset(seed=0)


@pytest.mark.parametrize(
    ("where", "what", "said"),
    [
        ("reset", "segfault", "environment dark: its process ended (killed by SIGSEGV) during reset()"),
        ("step", "exit", "environment dark: its process ended (exit code 3) during step()"),
    ],
)
def test_an_environment_that_dies_ends_the_session_with_its_name(
    opened: Opened, where: str, what: str, said: str
) -> None:
    box = opened(where, what)

    def play() -> None:
        env = box.client.make()
        env.reset(seed=0)
        env.step(1)

    assert said in box.refused(play)
    assert box.ended() == said


def test_an_environment_that_freezes_ends_the_session(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.access.visit.STEP_S", 0.5)
    box = opened("step", "asleep")
    env = box.client.make()
    env.reset(seed=0)
    box.refused(lambda: env.step(1))
    assert box.ended() == "environment dark: step() did not end within 0.5 s"


def test_an_environment_that_dies_between_two_calls_ends_the_session(opened: Opened) -> None:
    box = opened()
    before = set(psutil.Process().children(recursive=True))
    env = box.client.make()
    for process in set(psutil.Process().children(recursive=True)) - before:
        with suppress(psutil.NoSuchProcess):  # the kernel ends a process with its guardian
            process.kill()
    assert box.ended() == "environment dark: its process ended (killed by SIGKILL)"
    env.close()


def test_an_agent_that_breaks_the_environment_by_a_state_of_its_own_ends_only_that_client(opened: Opened) -> None:
    box = opened("set_state", "segfault")
    env = box.client.make()
    env.reset(seed=0)
    assert "killed by SIGSEGV) during set_state(); make another one" in box.refused(lambda: env.set_state(INVENTED))
    with box.client.make() as another:
        another.reset(seed=0)
    assert box.world.fault is None


def test_an_error_of_the_environment_tells_nothing_of_its_source(opened: Opened) -> None:
    box = opened("step", "raise")
    env = box.client.make()
    env.reset(seed=0)
    assert box.refused(lambda: env.step(1)) == "environment dark: step() failed"
    env.reset(seed=1)
    assert box.world.fault is None


def test_closing_ends_every_environment(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    with ExitStack() as stack:
        box = BlackBox(MAZE, tmp_path, stack)
        environments = [box.client.make() for _ in range(2)]
        box.world.close()
        assert "closed the connection" in box.refused(lambda: environments[0].reset(seed=0))
        box.listener.close()
        with pytest.raises(OSError, match=r"refused|reset"):
            box.client.make()
    hosts = [one for one in set(psutil.Process().children(recursive=True)) - before if "host.py" in str(one.cmdline())]
    assert len(hosts) <= 1, "the host that forks environments stays for the next one"


def test_calls_that_come_too_fast_wait() -> None:
    now = [100.0]
    pace = Pace(per_second=10, clock=lambda: now[0])
    waits = [pace.wait_s() for _ in range(12)]
    assert waits[0] == 0
    assert waits[-1] == pytest.approx(1.1)
    now[0] += 60
    assert pace.wait_s() == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agent and goal must stand on free cells", "agent and goal must stand on free cells"),
        ("KeyError: 'x' (maze.py:33)", "KeyError: 'x'…"),
        ("cannot open /opt/lab/world/arena.xml: missing", "cannot open …: missing"),
        ('File "/opt/world.py", line 3, in step', "…"),
        ("bad\nTraceback (most recent call last):\n  anything", "bad…"),
        ("<world.core.Thing object at 0x7f12ab> is odd", "… is odd"),
        ("1/2 of it, or 3 m/s", "1/2 of it, or 3 m/s"),
    ],
)
def test_places_in_code_are_taken_out_of_texts(text: str, said: str) -> None:
    assert scrubbed(text) == said


def test_a_readable_source_is_copied_into_the_kit_for_everyone_to_read(tmp_path: Path) -> None:
    conf = EnvironmentConf("m", "maze", {"min_size": 3, "max_size": 5}, primitives="planning")
    with closing(make_environment(conf)) as environment:
        access = Access(conf, environment, WorldUse())
        before = os.umask(0o077)
        try:
            access.fill(tmp_path / "kit")
        finally:
            os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "kit", *(tmp_path / "kit").rglob("*"))}
    assert {name for name, mode in modes.items() if mode != (0o644 if "." in name else 0o755)} == set()
    assert (access.endpoints, access.links, access.source) == (("world",), (SOURCE, CLIENT), ("maze.py",))
    assert {"access.json", "csp.py", "motion_planning.py", CLIENT} <= modes.keys()
    assert "def generate(seed" in (tmp_path / "kit" / SOURCE / "maze.py").read_text()


def test_the_source_of_a_package_is_copied_without_its_data(tmp_path: Path) -> None:
    conf = EnvironmentConf("cart", "gymnasium", {"id": "CartPole-v1"})
    with closing(make_environment(conf)) as environment:
        access = Access(conf, environment, WorldUse())
        access.fill(tmp_path / "kit")
    assert access.source == ("gymnasium/", "gymnasium_adapter.py")
    assert (tmp_path / "kit" / SOURCE / "gymnasium/envs/classic_control/cartpole.py").is_file()
    assert {path.suffix for path in (tmp_path / "kit").rglob("*") if path.is_file()} == {".py"}


def test_brief_errors_name_the_environment_and_no_error_of_its_own(project: None) -> None:
    conf = EnvironmentConf("mine", "troubled:Troubled", {"where": "reset", "what": "raise"}, 20)
    with closing(make_environment(conf)) as environment, pytest.raises(EnvironmentFailed) as caught:
        environment.reset(0)
    assert "the simulator broke" in str(caught.value)
    assert caught.value.brief == "environment mine: reset() failed"
