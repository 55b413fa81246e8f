"""The live view of a run with two workers, as a user sees it on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.live.canvas import Canvas
from harness.live.status import StatusFile
from harness.live.workers import LiveWorkers
from tests.support.project import Project, wait_until
from tests.support.screen import Screen

COLUMNS, ROWS = 100, 30

WAITING = """\
import time
from pathlib import Path
from harness.live.line import CaseProgress
from harness.stash import live_of

def test_view(case, request):
    live = live_of(request.config)
    end = time.monotonic() + 120
    while not Path("go").exists():
        assert time.monotonic() < end
        live.show(CaseProgress(case=case.id, turn=7, last_tool="Bash", output_tokens=0))
        time.sleep(0.02)
    live.clear()
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("test_view.py", WAITING)
    return project


def run(project: Project, *arguments: str, until: Callable[[str], bool]) -> Screen:
    """Run pytest on a terminal. Once the screen is as told, let the tests continue. Return the screen at the end."""
    screen = Screen(COLUMNS, ROWS)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = project.command("test_view.py", *arguments)
    variables = project.variables | {"TMPDIR": str(project.folder)}
    with subprocess.Popen(
        command, cwd=project.folder, env=variables, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        try:
            while shown := _read(master):
                screen.feed(shown)
                if until(screen.text):
                    (project.folder / "go").touch()
        except BaseException:
            process.kill()  # nobody reads what it writes any more
            raise
    os.close(master)
    assert process.returncode == 0, screen.text
    return screen


class FakeCanvas:
    """A canvas that keeps what is drawn."""

    def __init__(self) -> None:
        self.drawn: list[list[str]] = []
        self.closed = 0

    def open(self) -> None: ...

    def size(self) -> tuple[int, int]:
        return COLUMNS, ROWS

    def draw(self, lines: list[str]) -> None:
        self.drawn.append(lines)

    def close(self) -> None:
        self.closed += 1


def node(name: str) -> Any:
    return SimpleNamespace(gateway=SimpleNamespace(id=name))


def crash(nodeid: str, outcome: Any) -> pytest.TestReport:
    """Return xdist's report of a test that killed its worker, as the scheduler leaves it."""
    return pytest.TestReport(nodeid, ("test_x.py", None, ""), {}, outcome, "killed its worker", "setup")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "status"


@pytest.fixture
def view(folder: Path) -> Iterator[tuple[LiveWorkers, FakeCanvas]]:
    canvas = FakeCanvas()
    view = LiveWorkers(cast(Canvas, canvas), folder, {"a", "b"}, {"a": 1.0})
    yield view, canvas
    view.pytest_unconfigure()
    assert canvas.closed
    assert not folder.exists()


def test_tests_that_are_not_cases_have_no_live_view(view: tuple[LiveWorkers, FakeCanvas]) -> None:
    live, canvas = view
    live.pytest_xdist_node_collection_finished(node("gw0"), ["test_x.py::test_x", "test_x.py::test_y[c]"])
    live.pytest_runtest_logstart("test_x.py::test_x")
    live.pytest_runtest_logfinish("test_x.py::test_x")
    live.finish()
    assert not canvas.drawn


def test_the_status_of_a_worker_is_gone_with_it(view: tuple[LiveWorkers, FakeCanvas], folder: Path) -> None:
    live, canvas = view
    for name in ("gw0", "gw1"):
        live.pytest_xdist_node_collection_finished(node(name), ["test_x.py::test_x[a]"])
        StatusFile(folder / f"{name}.json").show(f"busy {name}")
    live.pytest_testnodedown(node("gw0"))
    wait_until(lambda: bool(canvas.drawn), "the board")
    assert canvas.drawn[-1] == ["gw1  busy gw1", f"[{'-' * 24}] 0 of 1 cases, about 1 s left"]


def test_a_case_that_killed_its_worker_and_is_not_rerun_is_over(view: tuple[LiveWorkers, FakeCanvas]) -> None:
    live, canvas = view
    live.pytest_xdist_node_collection_finished(node("gw0"), ["test_x.py::test_x[a]", "test_x.py::test_x[b]"])
    for nodeid, outcome in (("test_x.py::test_x[a]", "failed"), ("test_x.py::test_x[b]", "rerun")):
        live.pytest_runtest_logstart(nodeid)
        live.pytest_runtest_logreport(crash(nodeid, outcome))
    wait_until(lambda: bool(canvas.drawn), "the board")
    assert "1 of 2 cases" in canvas.drawn[-1][-1]


def _read(master: int) -> str:
    assert select.select([master], [], [], 120)[0], "nothing is shown after that"
    try:
        return os.read(master, 1 << 16).decode()
    except OSError:  # EIO: the last process has closed its end
        return ""


def test_a_line_per_worker_and_a_bar_are_shown_only_while_cases_run(project: Project) -> None:
    seen: list[str] = []

    def both(text: str) -> bool:
        lines = text.splitlines()
        workers = [line for line in lines if line.startswith(("gw0  ", "gw1  "))]
        if len(workers) == 2 and lines[-1].endswith("of 4 cases") and not seen:
            seen.extend(lines)
        return bool(seen)

    screen = run(project, "-n", "2", until=both)
    *_, first, second, bar = seen
    for name, line in (("gw0", first), ("gw1", second)):
        assert line.split()[0] == name
        assert line.split()[2:] == ["turn", "7", "Bash", "0", "tok/s"]
    assert {first.split()[1], second.split()[1]} < {
        f"{backend}-scripted-{environment}"
        for backend in ("claude", "opencode")
        for environment in ("small_maze", "motion2d_easy")
    }
    assert bar.endswith("0 of 4 cases")
    assert "\n....  " in screen.text, "pytest's own progress is complete"
    for gone in ("gw0  ", "gw1  ", "of 4 cases", "tok/s"):
        assert gone not in screen.text
    assert not list(project.folder.glob("proctor-live-*"))


@pytest.mark.nightly
@pytest.mark.parametrize("arguments", [["-n", "2", "-q"], ["-n", "2", "--co"], ["-n", "0", "-q"]])
def test_it_is_not_shown_if_it_is_not_wanted(project: Project, arguments: list[str]) -> None:
    (project.folder / "go").touch()
    screen = run(project, *arguments, until=lambda text: "of 4 cases" in text)
    assert "of 4 cases" not in screen.text
