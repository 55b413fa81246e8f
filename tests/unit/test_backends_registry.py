"""Backends of other packages come as entry points of the group `proctor.backends`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT

CODE = """\
from backends.claude.adapter import Claude

class Lean(Claude):
    name = "lean"

class Claude2(Claude):
    name = "claude"

BACKEND = Lean()
OTHER = Claude2()
TEXT = "no backend"
"""
POINTS = """\
[proctor.backends]
lean = theirs.backends:BACKEND
claude = theirs.backends:OTHER
gone = theirs.nonesuch:BACKEND
text = theirs.backends:TEXT
renamed = theirs.backends:BACKEND
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder on the module search path with the package `theirs`, as pip installs one."""
    files = {
        "theirs/__init__.py": "",
        "theirs/backends.py": CODE,
        "theirs-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n",
        "theirs-1.0.dist-info/entry_points.txt": POINTS,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def told(installed: Path, program: str) -> str:
    """What a program says that uses the registry, in a process of its own: the registry remembers what it has found."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), str(ROOT)))}
    command = [sys.executable, "-c", f"from backends.registry import *\n{program}"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_entry_point_is_a_backend_like_ours(installed: Path) -> None:
    assert told(installed, "print(*names())") == "claude codex gone lean opencode pi renamed text"
    assert told(installed, "print(type(backend('lean')).__module__)") == "theirs.backends"


def test_one_of_ours_hides_an_entry_point_of_its_name(installed: Path) -> None:
    assert told(installed, "print(type(backend('claude')).__module__)") == "backends.claude.adapter"


def test_entry_points_are_read_only_for_a_name_that_is_not_ours(installed: Path) -> None:
    seen = "import sys; backend('claude'); print('theirs.backends' in sys.modules)"
    assert told(installed, seen) == "False"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", "the entry point gone = theirs.nonesuch:BACKEND of theirs cannot be loaded: ModuleNotFoundError"),
        ("text", "the entry point text = theirs.backends:TEXT of theirs: it must be an instance of a subclass of"),
        ("renamed", "the entry point renamed = theirs.backends:BACKEND of theirs: the name of Lean is 'lean'"),
        ("nonesuch", "there is no backend 'nonesuch'; choose one of: claude, codex, gone, lean"),
    ],
)
def test_an_entry_point_that_is_no_backend_is_told_in_words(installed: Path, name: str, said: str) -> None:
    program = f"try: backend('{name}')\nexcept ValueError as error: print(error)"
    assert told(installed, program).startswith(said)
