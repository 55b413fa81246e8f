"""Measures the CPU time that Proctor adds to the start of pytest: in another project, and here up to the first case."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks.cost import cpu_s, least
from tests.support.elsewhere import Elsewhere
from tests.support.project import ROOT

_ROUNDS = 15


def main() -> None:
    """Print both costs and their ratios."""
    with tempfile.TemporaryDirectory() as temporary:
        _print_elsewhere(Path(temporary))
        _print_here(Path(temporary))


def _print_elsewhere(folder: Path) -> None:
    project = Elsewhere(folder)
    project.write("test_nothing.py", "def test_nothing(): pass\n")

    def run(*, proctor: bool) -> float:
        return cpu_s(project.command("-q", proctor=proctor), project.folder, project.variables)

    costs = least({"with": partial(run, proctor=True), "without": partial(run, proctor=False)}, _ROUNDS)
    more_ms = (costs["with"] - costs["without"]) * 1000
    print(f"a session of another project with one test (CPU time, least of {_ROUNDS}):")
    print(f"  pytest {costs['without']:.2f} s, with Proctor's plugin {costs['with']:.2f} s: ", end="")
    print(f"{costs['with'] / costs['without']:.2f} x, {more_ms:.0f} ms more")


def _print_here(folder: Path) -> None:
    runs_dir = f"--runs-dir={folder / 'runs'}"
    first = [sys.executable, "-m", "pytest", "-p", "tests.benchmarks.stop_at_first_test", "-q", runs_dir]

    def run(*arguments: str) -> float:
        return cpu_s([*first, *arguments], ROOT, {**os.environ, "PYTHONPATH": str(ROOT)})

    runs = {
        "tests/evaluation -k opencode": partial(run, "tests/evaluation", "-k", "opencode"),
        "-k opencode": partial(run, "-k", "opencode"),
        "--suite default": partial(run, "--suite", "default"),
    }
    costs = least(runs, _ROUNDS // 3)
    base = costs.pop("tests/evaluation -k opencode")
    print(f"to the first case (CPU time, least of {_ROUNDS // 3}):")
    print(f"  pytest tests/evaluation -k opencode {base:.2f} s")
    for arguments, cost in costs.items():
        print(f"  pytest {arguments} {cost:.2f} s: {cost / base:.2f} x")


if __name__ == "__main__":
    main()
