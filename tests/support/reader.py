"""A reader who follows a page of `docs/` and types what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.support.markdown import CodeBlock
from tests.support.project import ROOT

_FILE = re.compile(r"`([\w./-]+)`:$")
"""The line before a block that says which file the block is."""

_MEASURED = (
    (re.compile(r'"seconds":[\d.e-]+'), '"seconds":N'),
    (re.compile(r"(?<=\s)\d+\.\d(?=\s|$)"), "N"),  # the column with the seconds
    (re.compile(r"\s+"), " "),
)
"""The parts of the output that differ between runs. Their width changes the table's columns."""


class Reader:
    """A reader who has installed Proctor and has a shell in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.commands = 0
        self._folder = folder
        folder.mkdir()
        programs = folder.with_name("bin")
        programs.mkdir()
        for name, module in (("pytest", "pytest"), ("proctor", "harness")):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
            (programs / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        self._variables = kept | {"PYTHONPATH": str(ROOT), "PATH": f"{programs}:{os.environ['PATH']}"}
        if not entry_points(group="pytest11", name="proctor"):  # a checkout that is not installed
            shutil.copy(ROOT / "conftest.py", folder)

    def type(self, block: CodeBlock) -> None:
        """Use a block as a reader does: write the file, or type the commands and compare their output."""
        if block.language in {"python", "yaml"}:
            name = _FILE.search(block.before)
            assert name is not None, f"no line names a file before\n{block.text}"
            self.write(name[1], block.text)
        elif block.language == "console":
            for command, *expected in _commands(block.text):
                self.commands += 1
                _compare(self.run(command), expected)

    def write(self, name: str, text: str) -> None:
        """Add or replace a file."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type a command and wait for its end."""
        return subprocess.run(
            ["bash", "-c", command],  # noqa: S607 - found on PATH, as a reader's is
            cwd=self._folder,
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
        )


def _compare(done: subprocess.CompletedProcess[str], expected: list[str]) -> None:
    """Check that the output has each line, in order. `...`, at the end of a line or alone, matches anything."""
    printed = [_unmeasured(line) for line in done.stdout.splitlines()]
    for line in expected:
        begin, dots, _ = _unmeasured(line).partition("...")
        if not begin:
            continue
        while printed and not (printed[0].startswith(begin) if dots else printed[0] == begin):
            printed.pop(0)
        assert printed, f"$ {done.args[-1]}\ndid not print {line!r}, but\n{done.stdout}{done.stderr}"
        printed.pop(0)


def _commands(text: str) -> list[list[str]]:
    """Yield each command of a console block, with the lines that it should print."""
    return [part.rstrip("\n").split("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]


def _unmeasured(line: str) -> str:
    """Return a line of output without the measured values."""
    for pattern, stands_for in _MEASURED:
        line = pattern.sub(stands_for, line)
    return line.strip()
