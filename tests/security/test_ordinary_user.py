"""An ordinary user without any cgroup gets a sandbox that holds, and is told what is weaker. Root plays this user."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sandbox.cgroup import Parents
from harness.sandbox.keeper import weaker
from tests.support.ordinary_user import command_of_an_ordinary_user, folder_of_an_ordinary_user, given_to_them
from tests.support.project import Project

ROOT = Path(__file__).parents[2]
GOOD = Path(__file__).with_name("good_policy.py")
QUICK = ("tests/security/test_sandbox_escapes.py", "tests/security/test_names_of_cases.py")
"""The attacks on one box, and what it shows of its case."""

by_root = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs these tests anyway")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_of_an_ordinary_user() as folder:
        yield folder


def run(folder: Path, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a module of Python to its end, as an ordinary user whose home is `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    variables = kept | {"HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    command = command_of_an_ordinary_user([sys.executable, "-m", *arguments], further_ids=False)
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


def printed_by_tests(folder: Path, *arguments: str) -> str:
    """Run tests in one process, and return what pytest printed. They must pass."""
    own = ("-p", "no:cacheprovider", "-q", f"--basetemp={folder / 'tmp'}")
    done = run(folder, "pytest", *own, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@by_root
def test_no_attempt_escapes_from_a_box_of_an_ordinary_user(folder: Path) -> None:
    printed = printed_by_tests(folder, *QUICK, "-m", "not nightly")
    assert int(re.findall(r"(\d+) passed", printed)[0]) > 15


@by_root
@pytest.mark.nightly
def test_the_sandbox_works_for_an_ordinary_user(folder: Path) -> None:
    units = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/unit").glob("test_sandbox_*.py"))
    printed_by_tests(folder, *units, *QUICK, "tests/security/test_limits.py", "tests/security/test_submissions.py")


def test_what_is_weaker_is_named_in_doctor_in_the_record_and_in_the_docs(folder: Path) -> None:
    (folder / "project").mkdir()
    project = Project(folder / "project")
    project.write("good/approach.py", GOOD.read_text())
    given_to_them(folder)
    arguments = ("--submission=good", "--environment", "small_maze", "--set=evaluation.episodes=1")
    done = run(folder, "pytest", "-p", "no:cacheprovider", *arguments, cwd=project.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = project.records.values()
    assert record.outcome == "passed"
    lines = run(folder, "harness", "doctor", cwd=project.folder).stdout.splitlines()
    doctor = "\n".join(line.strip() for line in lines)
    docs = " ".join((ROOT / "docs/security.md").read_text().split())
    assert "all boxes run under one uid, and share what the kernel counts by uid, such as inotify instances" in (
        record.weaker_limits
    )
    for words in record.weaker_limits:
        assert words in doctor
    for words in weaker(Parents({}, unified=False), disks=False, root=False):
        assert words in docs
