"""Backends from other packages are entry points in the group `proctor.backends`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends.registry import own_names
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


def said(installed: Path, program: str) -> str:
    """Return the output of a program that uses the registry. A new process runs it, because the registry caches."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), str(ROOT)))}
    command = [sys.executable, "-c", f"from backends.registry import *\n{program}"]
    output = subprocess.check_output(command, env=variables, stderr=subprocess.STDOUT, text=True)
    return output.strip()


def test_an_entry_point_is_a_backend_like_a_packaged_one(installed: Path) -> None:
    assert said(installed, "print(*names())") == " ".join(sorted({*own_names(), "gone", "lean", "renamed", "text"}))
    assert said(installed, "print(type(backend('lean')).__module__)") == "theirs.backends"


def test_proctor_sets_up_only_its_own_backends(installed: Path) -> None:
    assert said(installed, "print(*own_names())") == " ".join(own_names())


def test_decode_explains_an_entry_point_that_cannot_be_loaded(installed: Path) -> None:
    program = "from harness.commands.main import main\ntry: main(['decode', 'gone', '-'])\nexcept SystemExit: pass"
    assert "error: the entry point gone = theirs.nonesuch:BACKEND of theirs cannot be loaded" in said(
        installed, program
    )


def test_a_packaged_backend_hides_an_entry_point_of_its_name(installed: Path) -> None:
    assert said(installed, "print(type(backend('claude')).__module__)") == "backends.claude.adapter"


def test_entry_points_are_read_only_for_a_name_that_is_not_packaged(installed: Path) -> None:
    seen = "import sys; backend('claude'); print('theirs.backends' in sys.modules)"
    assert said(installed, seen) == "False"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone", "the entry point gone = theirs.nonesuch:BACKEND of theirs cannot be loaded: ModuleNotFoundError"),
        ("text", "the entry point text = theirs.backends:TEXT of theirs: it must be an instance of a subclass of"),
        (
            "renamed",
            "the entry point renamed = theirs.backends:BACKEND of theirs: the name of Lean must be 'renamed'",
        ),
        ("nonesuch", "there is no backend 'nonesuch'; choose one of: claude, "),
    ],
)
def test_an_entry_point_that_is_not_a_backend_is_explained(installed: Path, name: str, words: str) -> None:
    program = f"try: backend('{name}')\nexcept ValueError as error: print(error)"
    assert said(installed, program).startswith(words)
