"""Workers and controllers of real runs are killed at any moment. The next start clears away all that they left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.project import Project, wait_until
from tests.support.seed import SEED
from tests.support.serving import Machine

KILLS = 5
"""The kills in each run. The last one kills the controller, or the whole job."""

QUICK = "test_quick.py"
QUICK_TEST = '''\
"""Asks for a model server alone: cases so cheap that many of them begin and end between two kills."""

import json
import urllib.request


def test_quick(case, model_server, ollama):
    with urllib.request.urlopen(f"{ollama.url}/api/ps") as answer:
        assert [model["name"] for model in json.load(answer)["models"]] == [case.model.served_as]
'''
LONG_TEST = """\
import sys
import time


def test_long(case, model_server, capfd):
    with capfd.disabled():
        print("holds a server", file=sys.stderr, flush=True)
    time.sleep(1000)
"""
WHOSE = ("environ", "mountinfo")
"""The files in /proc of a process that may contain the name of its run's folder."""

MODELS = [f"model-{number:02}" for number in range(40)]


class Killed:
    """A project on a machine with three GPUs, whose runs are killed. Two workers may share each of its many models."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PROCTOR_SEED", SEED)
        self.machine = Machine(folder, monkeypatch, gpus=3)
        self.folder = folder
        self.output = folder / "output.txt"
        self._seen: set[psutil.Process] = set()
        (folder / "project").mkdir()
        self.project = Project(folder / "project")
        self.project.write(QUICK, QUICK_TEST)
        for name in MODELS:
            self.machine.ollama.add_model(name)
            served = f"served_as: {name}:latest\ngpus: 1\ngpu_memory_gb: 20\nparallel: 2\n"
            self.project.write(f"conf/model/{name}.yaml", f"name: {name}\nprovider: ollama\n{served}")
        cases = f"backends: [claude]\nmodels: [{', '.join(MODELS)}]\nenvironments: [small_maze]\nreplicates: 5\n"
        self.project.write("conf/suite/killed.yaml", f"name: killed\n{cases}")

    @contextmanager
    def run(self, test: str) -> Iterator[psutil.Popen]:
        """Yield the controller of a run with two workers, once it has a server. Kill it at the end."""
        loads = len(self.machine.ollama.events("load"))
        command = self.project.command("--suite", "killed", "-n", "2", "-v", test)
        with self.output.open("wb") as output:
            controller = psutil.Popen(
                command,
                cwd=self.project.folder,
                env=self.project.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: len(self.machine.ollama.events("load")) > loads or controller.poll() is not None, "a model"
            )
            assert controller.poll() is None, self.output.read_text()
            yield controller
        finally:
            if controller.poll() is None:
                self._note(controller)
                controller.kill()
            controller.wait()

    def start_again(self) -> None:
        """Run again, once the last run's workers have noticed the end of their controller. This run needs no server."""
        wait_until(lambda: not self._workers(), "the end of the workers", 120)
        self.project.write("test_next.py", "def test_next(case): pass\n")
        assert self.project.pytest("--suite", "smoke", "test_next.py").returncode == pytest.ExitCode.OK

    def kill_a_worker(self, controller: psutil.Popen, chance: random.Random) -> None:
        """Kill any living worker. xdist replaces it after a moment."""
        wait_until(lambda: bool(_living(controller)), "a worker")
        self._note(controller)
        chance.choice(_living(controller)).kill()

    def kill_job(self, controller: psutil.Popen) -> None:
        """Kill controller and workers at once, as a cluster ends a job. The servers have their own sessions."""
        self._note(controller)
        os.killpg(controller.pid, signal.SIGKILL)

    def kill_controller(self, controller: psutil.Popen) -> None:
        """Kill the controller alone."""
        self._note(controller)
        controller.kill()

    def left(self) -> dict[psutil.Process, str]:
        """Return each process of any run in this folder, with its command line. Includes sealed ones and servers."""
        mark = str(Path(*self.folder.parts[-2:]))
        mine = {psutil.Process(), *psutil.Process().parents()}
        ours = {process for process in psutil.process_iter() if process not in mine and _mentions(process, mark)}
        ours |= {process for process in self._seen if _lives(process)}
        return {process: _command(process) for process in ours}

    def _note(self, controller: psutil.Popen) -> None:
        """Remember the running processes. Nothing else shows to which run the outer process of a sandbox belongs."""
        self._seen |= set(controller.children(recursive=True))

    def _workers(self) -> list[str]:
        return [command for command in self.left().values() if "sys.stdin.readline()" in command]


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Killed]:
    made = Killed(tmp_path, monkeypatch)
    yield made
    for process in made.left():
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 11))])
def test_the_next_start_clears_away_whatever_was_killed_at_any_moment(killed: Killed, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be the same every time
    killed.machine.ollama.turn(start_s=0.1, load_s=0.1, unload_s=0.1)
    with killed.run(QUICK) as controller:
        for _ in range(KILLS - 1):
            time.sleep(chance.uniform(0.0, 1.0))
            killed.kill_a_worker(controller, chance)
        time.sleep(chance.uniform(0.0, 1.0))
        assert controller.poll() is None, killed.output.read_text()
        if seed % 2:
            killed.kill_job(controller)
    killed.start_again()
    assert killed.left() == {}
    assert killed.machine.is_clean()
    assert "FAILED" not in killed.output.read_text(), "a case fails because another one was killed"


@pytest.mark.nightly
def test_the_workers_of_a_killed_controller_leave_no_model_server(killed: Killed) -> None:
    killed.project.write("test_long.py", LONG_TEST)
    with killed.run("test_long.py") as controller:
        wait_until(lambda: killed.output.read_text().count("holds a server") == 2, "both workers to hold a server")
        killed.kill_controller(controller)
        wait_until(lambda: killed.left() == {}, "the end of all processes", 30)
    assert killed.machine.is_clean()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_sessions_leave_no_sealed_process_either(killed: Killed, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be the same every time
    with killed.run("test_cases.py") as controller:
        wait_until(lambda: bool(killed.machine.ollama.events("request")), "the first request")
        for _ in range(2):
            time.sleep(chance.uniform(0.0, 3.0))
            killed.kill_a_worker(controller, chance)
        time.sleep(chance.uniform(0.0, 6.0))
        assert controller.poll() is None, killed.output.read_text()
        if seed % 2:
            killed.kill_job(controller)
    killed.start_again()
    assert killed.left() == {}
    assert killed.machine.is_clean()


def _living(controller: psutil.Popen) -> list[psutil.Process]:
    """Return the workers that already listen to the controller. Killing one earlier ends an xdist session at once."""
    return [worker for worker in controller.children() if _lives(worker) and worker.num_threads() > 1]


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _mentions(process: psutil.Process, mark: str) -> bool:
    """Return whether a process belongs to a run, by its variables or, if it is sealed, by its mounts."""
    with suppress(OSError):  # it is gone, or belongs to another user
        return any(mark in Path(f"/proc/{process.pid}/{file}").read_text("utf-8", "replace") for file in WHOSE)
    return False


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return f"{process.pid} {' '.join(process.cmdline())}"
    return f"{process.pid}"
