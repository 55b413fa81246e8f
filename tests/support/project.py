"""A small checkout of a user: with its own `conf/` and `runs/`. Its pytest runs in a separate process."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from msgspec import Struct

from harness.conf_path import ConfPath
from harness.results.record import Record
from harness.results.store import read
from tests.support import warm

ROOT = Path(__file__).parents[2]
CONF = ConfPath.of(ROOT)
"""The shipped configuration."""

INI = "[pytest]\naddopts = -p no:hydra_pytest -p no:anyio -p no:hypothesispytest\n"
"""A `pytest.ini` without the plugins of packages that Proctor uses. Each takes time in every session."""

QUICK = "turns:\n  - text: I hand in nothing.\n"
SLOW = """\
turns:
  - calls:
      - run: printf ghp_%s%s aB3aB3aB3aB3aB3aB3 aB3aB3aB3aB3aB3aB3 > token; sleep 1000 & setsid sleep 1000 & sleep 1000
  - text: Never reached.
"""
"""The token has the form of a GitHub token."""


class Stuck(Struct, frozen=True):
    """A run whose last case sleeps: pytest, all its descendants, and the files that it writes."""

    process: subprocess.Popen[bytes]
    family: list[psutil.Process]
    output: Path


class Project:
    """A folder with a copy of the shipped configuration and the shipped test of cases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "conf", folder / "conf")
        shutil.copy(ROOT / "conftest.py", folder)
        shutil.copy(ROOT / "tests/evaluation/test_cases.py", folder)
        (folder / "pytest.ini").write_text(INI)

    def write(self, name: str, text: str) -> None:
        """Add or replace a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `pytest` with these arguments."""
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]

    @property
    def variables(self) -> dict[str, str]:
        """The environment of that command: that of this process, without the variables of an outer pytest."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        paths = [str(ROOT), kept.get("PYTHONPATH", "")]  # it may contain the fake GPUs
        return kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest to its end."""
        return warm.run(self.command(*arguments), self.folder, self.variables)

    def pytest_in_new_python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest to its end in a Python that has loaded nothing yet."""
        return warm.run_in_new_python(self.command(*arguments), self.folder, self.variables)

    def pytest_on_terminal(self, *arguments: str) -> str:
        """Run pytest to its end on a pseudo-terminal. Return the bytes that the terminal received."""
        master, slave = pty.openpty()
        with subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.variables, stdin=slave, stdout=slave, stderr=slave
        ):
            os.close(slave)
            shown = b""
            with contextlib.suppress(OSError):  # EIO: the last process has closed its side
                while chunk := os.read(master, 1 << 16):
                    shown += chunk
        os.close(master)
        return shown.decode()

    @contextmanager
    def stuck(self, *arguments: str) -> Iterator[Stuck]:
        """Yield a run of two cases once the second case's agent sleeps. Kill it at the end.

        Its pytest leads its own session and process group.
        """
        for name, script in (("quick", QUICK), ("slow", SLOW)):
            self.write(f"conf/model/{name}.yaml", f"name: {name}\nprovider: scripted\nscript: {name}\n")
            self.write(f"conf/scripts/{name}.yaml", script)
        cases = "backends: [claude]\nmodels: [quick, slow]\nenvironments: [small_maze]\n"
        self.write("conf/suite/stuck.yaml", f"name: stuck\n{cases}")
        output = self.folder / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                self.command("--suite", "stuck", *arguments),
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            root = psutil.Process(process.pid)
            wait_until(lambda: len(_sleepers(root)) >= 3, "the agent's own processes")
            yield Stuck(process, root.children(recursive=True), output)
        finally:
            process.kill()
            process.wait()

    @property
    def records(self) -> dict[str, Record]:
        """The records of the newest run, by case."""
        return {record.case.id: record for record in read(self.folder / "runs/latest/results.jsonl")}


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = 300.0) -> None:
    """Poll until the condition holds, less and less often. The deadline only ends a hopeless wait."""
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < deadline_s, f"waited {deadline_s:g} s for {what}"
        time.sleep(min(0.2, 0.02 + waited / 20))


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill these processes. Some may have ended by themselves."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _sleepers(root: psutil.Process) -> list[psutil.Process]:
    return [child for child in root.children(recursive=True) if _name(child) == "sleep"]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
