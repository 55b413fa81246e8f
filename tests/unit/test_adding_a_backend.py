"""A new backend needs its package, its conf file and its corpus folder. Everything else finds it there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT

LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "runs", "cli-latest")
FINDS_IT = {
    "tests/contracts/test_contract.py": 20,
    "tests/unit/test_corpus.py": 50,
    "tests/unit/test_backends_setup.py": 10,
    "tests/properties/test_decode.py": 10,
    "tests/properties/test_end_to_end.py": 1,
    "tests/faults/test_endings.py": 1,
}
"""The least number of tests in each file that cover a new backend."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this project with a fifth backend: Pi under another name."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    shutil.copytree(copy / "backends/pi", copy / "backends/fifth")
    for module in (copy / "backends/fifth").glob("*.py"):
        module.write_text(module.read_text().replace("backends.pi", "backends.fifth"))
    adapter = copy / "backends/fifth/adapter.py"
    adapter.write_text(adapter.read_text().replace('name = "pi"', 'name = "fifth"'))
    [conf] = copy.rglob("conf/backend/pi.yaml")
    conf.with_name("fifth.yaml").write_text(conf.read_text().replace("name: pi", "name: fifth"))
    shutil.copytree(copy / "tests/corpus/pi", copy / "tests/corpus/fifth")
    return copy


def test_the_tests_of_backends_find_a_new_backend(checkout: Path) -> None:
    collected = pytest_in(checkout, "--collect-only", "-m", "nightly or not nightly", *FINDS_IT).splitlines()
    for file, least in FINDS_IT.items():
        of_it = [line for line in collected if line.startswith(file) and re.search(r"[\[-]fifth\b", line)]
        assert len(of_it) >= least, file
    passed = pytest_in(checkout, "-k", "fifth", "tests/unit/test_corpus.py", "tests/unit/test_backends_setup.py")
    assert re.search(r"\b\d{3} passed", passed), passed


def pytest_in(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
