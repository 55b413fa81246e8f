"""An environment runs in a process of its own: whatever it does, that process ends, and pytest goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment, InvalidAction, Policy
from harness.environments.factory import available, make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.environments.maze import Maze
from harness.imports import make_importable
from harness.mcp.renders import Renders
from harness.mcp.tools import EnvironmentTools, ToolFault
from tests.support import troubled
from tests.support.processes import gone
from tests.support.project import ROOT

QUICK = {"call_s": 1.0, "start_s": 20.0}
MAZE = EnvironmentConf("small", "maze", {"min_size": 3, "max_size": 5}, 20, call_s=20.0)

Made = Callable[..., HostedEnvironment]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root folder of a project with the module `troubled`. All tests share it, and so the host of its class."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "troubled.py").write_bytes(Path(troubled.__file__).read_bytes())
    before = list(sys.path)
    make_importable(folder)
    yield folder
    sys.path[:] = before


@pytest.fixture
def made(root: Path) -> Iterator[Made]:
    """A function that makes the troubled environment."""
    environments: list[HostedEnvironment] = []

    def made(where: str = "", what: str = "", once: str = "", **options: Any) -> HostedEnvironment:
        arguments = {"where": where, "what": what, "once": once}
        conf = EnvironmentConf("mine", "troubled:Troubled", arguments, 20, **(QUICK | options))
        environments.append(make_environment(conf))
        return environments[-1]

    yield made
    for environment in environments:
        environment.close()


def call(environment: Environment, where: str) -> Any:
    """Call a method of an environment, after a reset if it needs one."""
    if where in {"step", "render", "set_state"}:
        environment.reset(0)
    state = {"agent": [0, 0], "goal": [0, 4], "obstacles": [], "height": 3, "width": 5}
    arguments: dict[str, list[Any]] = {"reset": [0], "step": [1], "set_state": [state]}
    return getattr(environment, where)(*arguments.get(where, []))


@pytest.mark.parametrize(
    ("what", "where", "said"),
    [
        ("loop", "reset", r"reset\(\) did not end within 1 s\n(.*\n)*.*in _loop"),
        ("in_c", "render", r"render\(\) did not end within 1 s\n(.*\n)*.*troubled\.py"),
        ("asleep", "describe", r"describe\(\) did not end within 1 s"),
        ("exit", "step", r"its process ended \(exit code 3\) during step\(\)\n  trouble ahead"),
        ("sys.exit", "spaces", r"spaces\(\) failed: SystemExit: bye"),
        ("segfault", "render", r"its process ended \(killed by SIGSEGV\) during render\(\)\n(.*\n)*.*in string_at"),
        ("memory", "reset", r"reset\(\) failed: MemoryError"),
        (
            "raise",
            "set_state",
            r"set_state\(\) failed: RuntimeError: the simulator broke \(troubled.py:\d+\)\n(.*\n)*.*in _raise",
        ),
        ("flood", "step", r"step\(\) failed: RuntimeError: the flood is over"),
        ("hold_on", "reset", r"its process ended \(exit code 4\) during reset\(\)"),
        ("close_all", "render", r"its process ended"),
    ],
)
def test_trouble_ends_the_environment_and_not_pytest(
    made: Made, tmp_path: Path, what: str, where: str, said: str
) -> None:
    environment = made(where, what, once=str(tmp_path / "once"))
    with pytest.raises(EnvironmentFailed, match=f"^environment mine: {said}"):
        call(environment, where)
    assert call(environment, where) is not None or where == "set_state", "a new process answers"


@pytest.mark.nightly
@pytest.mark.parametrize("what", ["exit", "asleep", "raise"])
def test_trouble_while_it_is_made_is_tried_again_and_then_told(made: Made, tmp_path: Path, what: str) -> None:
    options = {"start_s": 1.0} if what == "asleep" else {}
    assert made("make", what, once=str(tmp_path / "once"), **options).max_steps == 20
    with pytest.raises(EnvironmentFailed, match=r"environment mine: .*make\(\)"):
        made("make", what, **options)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(3600)", "did not start: it did not import .*:Door within 1 s"),
        ("import os; os._exit(5)", r"did not start: its process ended \(exit code 5\)"),
        ("import ctypes; ctypes.string_at(0)", r"did not start: its process ended \(killed by SIGSEGV\)"),
    ],
)
def test_a_module_that_cannot_be_imported_harms_nothing(root: Path, code: str, said: str) -> None:
    name = f"door{abs(hash(code))}"
    (root / f"{name}.py").write_text(f"{code}\nclass Door: pass\n")
    conf = EnvironmentConf("door", f"{name}:Door", start_s=1.0 if "sleep" in code else 20.0)
    with pytest.raises(EnvironmentFailed, match=said):
        available(conf)


def test_it_speaks_the_protocol_as_if_it_were_here(made: Made) -> None:
    maze, environment = Maze(3, 5, 20), made()
    for seed in range(3):
        assert environment.reset(seed) == maze.reset(seed)
        assert environment.step(environment.action(np.int64(1))) == maze.step(1)
        np.testing.assert_array_equal(environment.render(), maze.render())
        assert environment.get_state() == maze.get_state()
    assert (environment.describe(), environment.max_steps) == (maze.describe(), 20)
    assert str(environment.spaces()) == str(maze.spaces())
    with pytest.raises(InvalidAction, match="one of the integers 0, 1, 2, 3; got 9"):
        environment.action(9)
    with pytest.raises(ValueError, match="a maze state is an object with exactly the keys"):
        environment.set_state([])
    with pytest.raises(ValueError, match="not plain data"):
        environment.set_state(object())
    assert environment.get_state() == maze.get_state(), "a mistake of the caller costs no process"


def no_policy(_folder: str) -> AbstractContextManager[Policy]:
    raise NotImplementedError


def test_the_agents_tool_gets_an_error_and_the_next_call_works(made: Made, tmp_path: Path) -> None:
    environment = made("render", "in_c", once=str(tmp_path / "once"))
    renders = Renders(tmp_path / "renders", "/renders")
    tools = EnvironmentTools(environment, renders=renders, open_policy=no_policy, policy_errors=(), workspace="/w")
    with pytest.raises(ToolFault, match=r"render\(\) did not end within 1 s") as failed:
        tools.render_state(0, None, "first")
    assert "\n" not in str(failed.value), "the agent is not shown the harness's files"
    assert tools.render_state(0, None, "second").text.startswith("picture: /renders/0001-second.png")


def test_its_processes_end_with_it(made: Made) -> None:
    before = set(psutil.Process().children(recursive=True))
    environment = made()
    processes = set(psutil.Process().children(recursive=True)) - before
    environment.close()
    environment.close()
    assert [process for process in processes if process.is_running() and "host.py" not in str(process.cmdline())] == []
    assert environment.reset(0), "a later call starts another"


FROZEN = """
import sys
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.imports import make_importable
import threading, pathlib, psutil, time
make_importable(pathlib.Path(sys.argv[1]))
environment = make_environment(EnvironmentConf("mine", "troubled:Troubled", {"where": "reset", "what": "in_c"}, 20))
print(*(process.pid for process in psutil.Process().children(recursive=True)), flush=True)
environment.reset(0)
"""


def test_a_frozen_environment_dies_with_the_harness(root: Path) -> None:
    command = [sys.executable, "-c", FROZEN, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as harness:
        assert harness.stdout is not None
        pids = [int(pid) for pid in harness.stdout.readline().split()]
        assert len(pids) == 4, "the host, the process that it forked, and the guardian of each"
        harness.send_signal(signal.SIGKILL)
    assert gone(pids, within=10.0)


def test_it_is_the_first_to_go_when_memory_runs_out_and_sees_only_variables_that_programs_need(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = ["ANTHROPIC_API_KEY", "DATABASE_URL", "HTTPS_PROXY", "MY_SETTING", "PROCTOR_SEED", "XDG_MASTER_KEY"]
    for name in hidden:
        monkeypatch.setenv(name, "s3cret")
    shown = {"LC_TIME": "C", "LD_LIBRARY_PATH": "/lib", "MUJOCO_GL": "osmesa", "OMP_NUM_THREADS": "3", "TZ": "UTC"}
    for name, value in shown.items():
        monkeypatch.setenv(name, value)
    (root / "asked.py").write_text(
        "import os\nfrom troubled import Troubled\n\nclass Asked(Troubled):\n"
        "    def describe(self):\n"
        "        return repr([dict(os.environ), open('/proc/self/oom_score_adj').read()])\n"
    )
    with closing(make_environment(EnvironmentConf("asked", "asked:Asked"))) as environment:
        said = environment.describe()
    assert [name for name in hidden if name in said] == []
    assert [name for name, value in shown.items() if f"'{name}': '{value}'" not in said] == []
    assert "'PYTHONHASHSEED': '0'" in said
    assert "'DISABLE_AUTO_DYNAMIC3D_SCENES_DOWNLOAD': '1'" in said
    assert "'900\\n'" in said


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has NumPy, and none of Proctor's other packages."""
    folder = tmp_path_factory.mktemp("other")
    venv.create(folder, with_pip=False, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    home = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (home / name).exists():
            (packages / name).symlink_to(home / name)
    return folder / "bin/python"


def test_it_can_have_an_interpreter_and_packages_of_its_own(root: Path, other_python: Path) -> None:
    done = subprocess.run([other_python, "-c", "import msgspec"], capture_output=True, check=False)
    assert b"No module named 'msgspec'" in done.stderr
    for kind, arguments in (("maze", MAZE.arguments), ("troubled:Troubled", {})):
        conf = EnvironmentConf("mine", kind, arguments, 20, interpreter=str(other_python))
        assert available(conf) is None
        with closing(make_environment(conf)) as environment:
            assert environment.reset(3) == Maze(3, 5, 20).reset(3)
            assert environment.render().dtype == np.uint8


def test_what_its_interpreter_lacks_is_named(root: Path, other_python: Path, tmp_path: Path) -> None:
    conf = EnvironmentConf("pole", "gymnasium", {"id": "CartPole-v1"}, interpreter=str(other_python))
    assert f"imports gymnasium, which is not installed for {other_python}" in str(available(conf))
    conf = EnvironmentConf("mine", "maze", MAZE.arguments, interpreter=str(tmp_path / "none"))
    with pytest.raises(
        ValueError, match=r"environment mine: kind maze: cannot run the interpreter .*No such file.*: worlds, mini"
    ):
        available(conf)


def test_an_environment_costs_little_more_than_one_in_this_process() -> None:
    with closing(make_environment(MAZE)) as environment:
        environment.reset(0)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            for _step in range(20):
                environment.step(1)
            took.append((time.perf_counter() - began) / 20)
    assert min(took) < 0.005, os.getloadavg()


LITTERS = """
from pathlib import Path
from harness.environments.maze import Maze

class Litters(Maze):
    def reset(self, seed):
        Path("LIBRARY_LOG.TXT").write_text("a warning")
        return super().reset(seed)
"""


@pytest.mark.parametrize("installed", [True, False])
def test_what_a_library_leaves_in_its_working_directory_is_not_left_in_the_project(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    place, name = (tmp_path / "packages", "litters") if installed else (root, "littering")
    place.mkdir(exist_ok=True)
    (place / f"{name}.py").write_text(LITTERS)
    monkeypatch.syspath_prepend(str(place))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    conf = EnvironmentConf("mine", f"{name}:Litters", {"min_size": 3, "max_size": 5}, 20, call_s=20.0)
    with closing(make_environment(conf)) as environment:
        environment.reset(0)
    left = [path.name for path in here.iterdir()]
    assert left == ([] if installed else ["LIBRARY_LOG.TXT"]), "an environment of the project works in its folder"
