"""docs/adding-an-environment.md: a reader who types what it shows sees what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.support.markdown import CodeBlock, code_blocks, page
from tests.support.project import ROOT

BLOCKS = code_blocks(page("docs/adding-an-environment.md"))

_FILE = re.compile(r"`([\w./-]+)`:$")
_MEASURED = (
    (re.compile(r'"seconds":[\d.e-]+'), '"seconds":N'),
    (re.compile(r"(?<=\s)\d+\.\d(?=\s|$)"), "N"),  # the column of seconds
    (re.compile(r"\s+"), " "),
)
"""What differs from run to run, and with the width of it the table's columns."""


def test_the_page_names_a_file_for_each_program_and_conf() -> None:
    assert [
        block.before for block in BLOCKS if block.language in {"python", "yaml"} and not _FILE.search(block.before)
    ] == []


def test_it_can_be_typed(tmp_path: Path) -> None:
    project = Reader(tmp_path / "mylab")
    for block in BLOCKS:
        project.type(block)
    assert project.commands >= 8


class Reader:
    """Somebody with a shell in an empty folder, who has installed Proctor."""

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
        """Do what a reader does with a block: write the file, or type the commands and compare the output."""
        if block.language in {"python", "yaml"}:
            self._write(block)
        elif block.language == "console":
            for command, *expected in _commands(block.text):
                self.commands += 1
                self._expect(command, expected)

    def _write(self, block: CodeBlock) -> None:
        name = _FILE.search(block.before)
        assert name is not None
        path = self._folder / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def _expect(self, command: str, expected: list[str]) -> None:
        done = subprocess.run(
            ["bash", "-c", command],  # noqa: S607 - found on PATH, as a reader's is
            cwd=self._folder,
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
        )
        printed = list(map(_measured, done.stdout.splitlines()))
        for line in expected:
            if line == "...":
                continue
            begin, dots, _ = _measured(line).partition("...")
            while printed and not (printed[0].startswith(begin) if dots else printed[0] == begin):
                printed.pop(0)
            assert printed, f"$ {command}\ndid not print {line!r}, but\n{done.stdout}{done.stderr}"
            printed.pop(0)


def _commands(text: str) -> list[list[str]]:
    """Each command of a console block, and the lines that it is to print."""
    return [part.rstrip("\n").split("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]


def _measured(line: str) -> str:
    """A line of output without what was measured."""
    for pattern, stands_for in _MEASURED:
        line = pattern.sub(stands_for, line)
    return line.strip()
