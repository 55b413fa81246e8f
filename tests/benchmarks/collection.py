"""Measures the cost of collecting a case, compared with a bare parametrized no-op, in CPU time of the same run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from tests.benchmarks.cost import cpu_s, least

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
    """Return the CPU seconds of one `pytest --collect-only -q` in a separate process."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *plugins, *arguments]
    return cpu_s(command, folder, {**os.environ, "PYTHONPATH": str(_ROOT)})


def main() -> None:
    """Print the two costs and their ratio."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:hydra_pytest -p no:anyio\n")
        shutil.copytree(_ROOT / "conf", folder / "conf")
        (folder / "test_case.py").write_text(_CASE_TEST)
        for count in (1, CASES):
            (folder / f"conf/suite/generated_{count}.yaml").write_text(_SUITE.format(count=count))
            (folder / f"test_bare_{count}.py").write_text(_BARE_TEST.format(count=count))
        without = ["-p", "no:proctor"]
        plugin = [] if entry_points(group="pytest11", name="proctor") else ["-p", "harness.plugin"]
        costs = least(
            {
                "bare 1": partial(_collect, folder, without, ["test_bare_1.py"]),
                "suite 1": partial(_collect, folder, plugin, ["--suite", "generated_1", "test_case.py"]),
                "bare": partial(_collect, folder, without, [f"test_bare_{CASES}.py"]),
                "suite": partial(_collect, folder, plugin, ["--suite", f"generated_{CASES}", "test_case.py"]),
            },
            _ROUNDS,
        )
    bare = (costs["bare"] - costs["bare 1"]) / (CASES - 1)
    case = (costs["suite"] - costs["suite 1"]) / (CASES - 1)
    print(f"collecting {CASES} cases (CPU time, least of {_ROUNDS}):")
    print(f"  start-up: bare pytest {costs['bare 1']:.2f} s, with a suite {costs['suite 1']:.2f} s")
    print(f"  a case:   bare no-op {bare * 1e6:.1f} us, a suite's case {case * 1e6:.1f} us: {case / bare:.2f} x")


if __name__ == "__main__":
    main()
