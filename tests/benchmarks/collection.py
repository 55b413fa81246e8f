"""What a case of a suite costs to collect, against a bare parametrized no-op, in CPU time of the same run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

CASES = 10_000
_ROUNDS = 5
_ROOT = Path(__file__).parents[2]

_CASE_TEST = "def test_case(case):\n    pass\n"
_BARE_TEST = """\
import pytest

@pytest.mark.parametrize("number", range({count}), ids=[f"claude-scripted-small_maze-r{{i}}" for i in range({count})])
def test_bare(number):
    pass
"""
_SUITE = (
    "name: generated_{count}\nbackends: [claude]\nmodels: [scripted]\nenvironments: [small_maze]\nreplicates: {count}\n"
)


def _collect(folder: Path, plugins: list[str], arguments: list[str]) -> float:
    """CPU seconds of one `pytest --collect-only -q` in a process of its own."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *plugins, *arguments]
    before = os.times()
    subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(_ROOT)}, check=True, stdout=subprocess.DEVNULL
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _per_case(folder: Path, plugins: list[str], arguments_for: dict[int, list[str]]) -> tuple[float, float]:
    """Seconds of start-up (one case), and seconds for each further case."""
    start = median(_collect(folder, plugins, arguments_for[1]) for _ in range(_ROUNDS))
    whole = median(_collect(folder, plugins, arguments_for[CASES]) for _ in range(_ROUNDS))
    return start, (whole - start) / (CASES - 1)


def main() -> None:
    """Print the two costs and their ratio."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "pytest.ini").write_text("[pytest]\n")
        shutil.copytree(_ROOT / "conf", folder / "conf")
        (folder / "test_case.py").write_text(_CASE_TEST)
        for count in (1, CASES):
            (folder / f"conf/suite/generated_{count}.yaml").write_text(_SUITE.format(count=count))
            (folder / f"test_bare_{count}.py").write_text(_BARE_TEST.format(count=count))
        bare_start, bare = _per_case(folder, [], {n: [f"test_bare_{n}.py"] for n in (1, CASES)})
        plugins = ["-p", "harness.plugin", "-p", "harness.fixtures"]
        suites = {n: ["--suite", f"generated_{n}", "test_case.py"] for n in (1, CASES)}
        start, case = _per_case(folder, plugins, suites)
    print(f"collecting {CASES} cases (CPU time, median of {_ROUNDS}):")
    print(f"  start-up: bare pytest {bare_start:.2f} s, with a suite {start:.2f} s")
    print(f"  a case:   bare no-op {bare * 1e6:.1f} us, a suite's case {case * 1e6:.1f} us: {case / bare:.2f} x")


if __name__ == "__main__":
    main()
