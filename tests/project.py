"""A user's checkout in miniature: its own `conf/`, its own `runs/`, and pytest in a process of its own."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

from harness.results.record import Record
from harness.results.store import read

ROOT = Path(__file__).parents[1]


class Project:
    """A folder with a copy of the shipped configuration and the shipped test of the cases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "conf", folder / "conf")
        shutil.copy(ROOT / "conftest.py", folder)
        shutil.copy(ROOT / "tests/evaluation/test_cases.py", folder)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:hydra_pytest -p no:anyio\n")

    def write(self, name: str, text: str) -> None:
        """Add or replace a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        """The command line of `pytest` with these arguments."""
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]

    @property
    def variables(self) -> dict[str, str]:
        """The environment of that command: this one, less what an outer pytest put there."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        return kept | {"PYTHONPATH": str(ROOT)}

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False
        )

    def pytest_on_terminal(self, *arguments: str) -> str:
        """Run pytest to its end on a pseudo-terminal; what the terminal got."""
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

    @property
    def records(self) -> dict[str, Record]:
        """The records of the newest run, by case."""
        return {record.case.id: record for record in read(self.folder / "runs/latest/results.jsonl")}
