"""`proctor init`: writes a small project whose cases run at once."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

SUITE = """\
# The cases that `pytest` runs here: every backend with every model on every environment.
# Other backends: `codex`, `pi`. To add a model or an environment, write a file in conf/model/ or conf/environment/.
# The model `scripted` plays written answers: it needs no key and no GPU.
name: default
backends: [claude, opencode]
models: [scripted]
environments: [small_maze]
"""

TEST = '''\
"""Run each case of the suite (backend x model x environment): `pytest -k opencode --suite default`."""

from harness.case import Case
from harness.evaluation.submission import Submission
from harness.grading import Score


def test_case(case: Case, submission: Submission, score: Score) -> None:
    assert score.solve_rate >= case.environment.pass_solve_rate
'''

INI = """\
[pytest]
# This file marks the root of the project: Proctor reads `conf/` beside it and writes `runs/`.
"""

IGNORED = "runs/\n"

_PYTEST = {
    "pytest.ini": "",
    ".pytest.ini": "",
    "pytest.toml": "",
    ".pytest.toml": "",
    "pyproject.toml": r"^\[tool\.pytest(\.ini_options)?\]",
    "tox.ini": r"^\[pytest\]",
    "setup.cfg": r"^\[tool:pytest\]",
}
"""Files that may configure pytest. A file does so if it contains the pattern beside its name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor init`."""
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: the current one"
    )


def run(given: argparse.Namespace) -> int:
    """Write the files that do not exist yet, and print what to run next. Raise `OSError`."""
    folder: Path = given.folder
    for path, text in _files(folder):
        if _write(path, text):
            print(f"wrote   {path}")
        elif path.name == ".gitignore" and IGNORED.strip() not in path.read_text(errors="replace").split():
            print(f"exists  {path}: left as it is; add `{IGNORED.strip()}` to it")
        else:
            print(f"exists  {path}: left as it is")
    for path in _configured(folder):
        if _holds(path, r"^\s*testpaths\b"):
            print(f"exists  {path}: left as it is; if its `testpaths` leave out test_cases.py, add it there")
    print("\nNext:")
    if folder.resolve() != Path.cwd():
        print(f"    cd {shlex.quote(str(folder))}")
    print("    proctor setup         # once: installs the coding-agent CLIs and checks the sandbox")
    print("    pytest                # runs the cases of conf/suite/default.yaml")
    print("    pytest -k opencode    # runs the cases of one backend")
    print("    proctor seed          # once, before cases of real models: makes your private seed")
    return 0


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of the project and its text."""
    yield folder / "conf" / "suite" / "default.yaml", SUITE
    yield folder / "test_cases.py", TEST
    yield folder / ".gitignore", IGNORED
    if not any(path.name != "pytest.ini" for path in _configured(folder)):
        yield folder / "pytest.ini", INI


def _configured(folder: Path) -> list[Path]:
    """Return the files of the folder that configure pytest."""
    return [folder / name for name, pattern in _PYTEST.items() if _holds(folder / name, pattern)]


def _holds(path: Path, pattern: str) -> bool:
    return path.is_file() and re.search(pattern, path.read_text(errors="replace"), re.MULTILINE) is not None


def _write(path: Path, text: str) -> bool:
    """Write a new file. If it exists, leave it alone and return False."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
