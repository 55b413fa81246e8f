"""Rendering is tried before it is promised: what is found, what is told, and on which thread pictures are drawn."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from harness.commands import doctor
from harness.environment_conf import EnvironmentConf
from harness.environments.drawing import choose_renderer
from harness.environments.factory import make_environment
from harness.environments.gymnasium_adapter import GymnasiumEnvironment
from harness.environments.maze import Maze
from harness.environments.rendering import render_fault
from tests.support.own_project import ENVIRONMENT
from tests.support.project import ROOT

NUMBERS = itertools.count()


class Drawn(Maze):
    """A maze that is drawn by a function of the test."""

    def __init__(self, drawing: Callable[[], Any]) -> None:
        super().__init__(3, 3, 10)
        self.drawing = drawing

    def render(self) -> Any:
        return self.drawing()


def fault(drawing: Callable[[], Any]) -> str | None:
    """Return the fault of a new environment that is drawn in this way."""
    return render_fault(EnvironmentConf("drawn", f"tests:Drawn{next(NUMBERS)}"), Drawn(drawing))


def raises(error: Exception) -> Callable[..., Any]:
    def drawing(*_: Any) -> Any:
        raise error

    return drawing


def test_a_packaged_environment_can_be_drawn() -> None:
    conf = EnvironmentConf("small", "maze", {"min_size": 3, "max_size": 5})
    assert render_fault(conf, make_environment(conf)) is None


def test_rendering_is_tried_once_for_each_environment() -> None:
    tries: list[int] = []
    conf = EnvironmentConf("drawn", f"tests:Drawn{next(NUMBERS)}")
    environment = Drawn(lambda: tries.append(1))
    assert render_fault(conf, environment) == render_fault(conf, environment)
    assert len(tries) == 1
    render_fault(EnvironmentConf("drawn", conf.kind, {"size": 2}), environment)
    assert len(tries) == 2


@pytest.mark.parametrize(
    ("drawing", "said"),
    [
        (raises(NotImplementedError()), "NotImplementedError"),
        (raises(RuntimeError("the renderer\n is gone")), "the renderer is gone"),
        (
            raises(ModuleNotFoundError("No module named 'cairo'", name="cairo.x")),
            f"{sys.executable} -m pip install cairo",
        ),
        (raises(AttributeError("'NoneType' object has no attribute 'eglQueryString'")), "apt-get install libegl1"),
        (raises(RuntimeError("an OpenGL platform library has not been loaded")), "install EGL or OSMesa"),
        (raises(AttributeError("'NoneType' object has no attribute 'glGetError'")), "`libosmesa6`"),
        (raises(RuntimeError("SDL: No available video device")), "SDL_VIDEODRIVER=dummy"),
        (lambda: None, "returned NoneType, not a picture"),
        (lambda: np.zeros((4, 4, 3)), "an array of float64 and shape (4, 4, 3)"),
        (lambda: np.zeros((4, 4), np.uint8), "an array of uint8 and shape (4, 4)"),
    ],
)
def test_a_fault_says_why_and_what_to_do(drawing: Callable[[], Any], said: str) -> None:
    told = fault(drawing)
    assert told is not None
    assert said in told
    assert "\n" not in told


class NoModes(gymnasium.Env[Any, Any]):
    """An environment without a renderer: it takes no render mode."""

    metadata = {"render_modes": []}  # noqa: RUF012 - the form that Gymnasium asks for
    action_space = spaces.Discrete(2)
    observation_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return 1, 0.0, True, False, {}


class OnlyText(NoModes):
    """An environment that checks its render mode as Gymnasium's tutorial does, and draws only text."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012 - the form that Gymnasium asks for

    def __init__(self, render_mode: str | None = None) -> None:
        assert render_mode is None or render_mode in self.metadata["render_modes"]
        self.render_mode = render_mode


class Careless(NoModes):
    """An environment that promises pictures, and draws nothing."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - the form that Gymnasium asks for

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        return None


class LacksLibrary(Careless):
    """An environment that lacks the library that it draws with."""

    def render(self) -> Any:
        raise gymnasium.error.DependencyNotInstalled('pygame is not installed, run `pip install "gymnasium[toy-text]"`')


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NoModes, "it draws no RGB picture: its render modes are none"),
        (OnlyText, "it draws no RGB picture: its render modes are ansi"),
        (Careless, "it draws no RGB picture: render() returned something else"),
        (LacksLibrary, f"pygame is not installed, run `{sys.executable} -m pip install"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_gymnasium_environment_without_a_renderer_can_be_played(kind: Any, said: str) -> None:
    name = f"Proctor{kind.__name__}-v0"
    gymnasium.register(name, kind)
    environment = GymnasiumEnvironment(name, 10)
    environment.reset(0)
    assert environment.step(environment.action(1)).terminated
    told = render_fault(EnvironmentConf("mute", "gymnasium", {"id": name}), environment)
    assert told is not None
    assert told.startswith(said)


MAZE = {"min_size": 3, "max_size": 5}
ON_ITS_MAIN_THREAD = """
import threading
from harness.environments.maze import Maze

class Watched(Maze):
    def render(self):
        assert threading.current_thread() is threading.main_thread()
        return super().render()
"""


def test_pictures_are_drawn_on_one_thread_whichever_thread_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenGL binds a context to one thread. On any other one, MuJoCo draws black pictures and raises nothing."""
    (tmp_path / "watched.py").write_text(ON_ITS_MAIN_THREAD)
    monkeypatch.syspath_prepend(tmp_path)
    with closing(make_environment(EnvironmentConf("small", "watched:Watched", MAZE))) as environment:
        environment.reset(0)
        shapes: list[Any] = []
        for _ in range(3):
            caller = threading.Thread(target=lambda: shapes.append(environment.render().shape))
            caller.start()
            caller.join()
        assert shapes == [environment.render().shape] * 3


@pytest.fixture
def headless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without a screen, with MuJoCo. The test may change it."""
    (tmp_path / "mujoco.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for variable in ("DISPLAY", "MUJOCO_GL"):
        monkeypatch.setenv(variable, "")  # so that it is restored
        monkeypatch.delenv(variable)
    return monkeypatch


def renderer() -> str | None:
    """Return MUJOCO_GL as it is when a renderer was chosen."""
    choose_renderer()
    return os.environ.get("MUJOCO_GL")


FAKE_MUJOCO = """
import os

class GLContext:
    def __init__(self, width, height):
        if os.environ["MUJOCO_GL"] not in os.environ["WORKS"]:
            raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

    def make_current(self):
        pass
"""


@pytest.mark.parametrize(("works", "expected"), [("egl osmesa", "egl"), ("osmesa", "osmesa"), ("", None)])
def test_mujoco_draws_with_the_first_backend_that_works(tmp_path: Path, works: str, expected: str | None) -> None:
    (tmp_path / "mujoco.py").write_text(FAKE_MUJOCO)
    code = "import os; from harness.environments import drawing; drawing.choose_renderer(); "
    code += "print(os.environ.get('MUJOCO_GL'), drawing.renderer_fault('egl'), sep='; ')"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "WORKS": works},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    chosen, fault = told.strip().split("; ")
    assert chosen == str(expected)
    assert fault == (
        "None" if "egl" in works else "AttributeError: 'NoneType' object has no attribute 'eglQueryString'"
    )


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [("DISPLAY", ":0", None), ("MUJOCO_GL", "osmesa", "osmesa"), ("MUJOCO_GL", "", "")],
)
def test_the_users_choice_of_a_renderer_stays(
    headless: pytest.MonkeyPatch, variable: str, value: str, expected: str | None
) -> None:
    headless.setenv(variable, value)
    assert renderer() == expected


def test_the_doctor_says_which_environments_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no engines, whose environments take seconds to draw
    blind = f"blind{next(NUMBERS)}"
    (tmp_path / f"{blind}.py").write_text(f"{ENVIRONMENT}\n    def render(self):\n        return None\n")
    (tmp_path / "conf/environment").mkdir(parents=True)
    for name, kind in (("door", f"{blind}:Door"), ("lost", "gymnasium\narguments: {id: Nonesuch-v0}")):
        (tmp_path / f"conf/environment/{name}.yaml").write_text(f"name: {name}\nkind: {kind}\n")
    doctor.run(Namespace())
    lines = capsys.readouterr().out.splitlines()
    told = {line.split()[2]: line for line in lines if " render " in line}
    [limbs] = [line for line in lines if "engine ikfast" in line]
    assert limbs.split()[:4] == ["-", "kinder", "dynamic3d", "16"]
    assert limbs.endswith("do not run: the extra worlds is not installed: run `proctor setup --extra worlds`")
    assert told["small_maze"].split()[0] == "ok"
    assert told["door"].startswith("- ")
    assert told["door"].endswith("render() returned NoneType, not a picture")
    assert "cannot make the Gymnasium environment 'Nonesuch-v0'" in told["lost"]
