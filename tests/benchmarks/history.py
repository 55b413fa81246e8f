"""Measures the history of 10,000 records in 100 runs: its index is made, kept up to date, and asked.

The baseline is to read all `results.jsonl`. The whole command `proctor history` is measured too, beside a Python that
does nothing.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec

from harness.results.history import History, consult, rebuild
from harness.results.run_folder import RESULTS, run_name
from harness.results.store import read
from harness.results.times import Times
from harness.verdict.series import overview, series_of
from tests.benchmarks.cost import cpu_s, least
from tests.support.project import ROOT
from tests.support.runs import record

RUNS = 100
BACKENDS = tuple(f"backend_{number}" for number in range(5))
ENVIRONMENTS = tuple(f"environment_{number}" for number in range(10))
REPLICATES = (1, 2)
CASE = "backend_3-qwen-environment_7"
_ROUNDS = 7


def write_runs(runs: Path) -> int:
    """Write the runs, one each night. Return the number of their records."""
    random_, count = random.Random(1), 0  # noqa: S311 - made-up results, no secret
    for number in range(RUNS):
        night = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        folder = runs / run_name("nightly", night)
        folder.mkdir(parents=True)
        records = [
            record(backend, environment, replicate, solved=random_.randrange(21), started_at=night.isoformat())
            for backend in BACKENDS
            for environment in ENVIRONMENTS
            for replicate in REPLICATES
        ]
        (folder / RESULTS).write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
        count += len(records)
    return count


def main() -> None:
    """Print how long each step takes, and its ratio to reading all records."""
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary) / "runs"
        count = write_runs(runs)
        size = sum(file.stat().st_size for file in runs.glob(f"*/{RESULTS}"))
        print(f"history of {count:,} records in {RUNS} runs, {size / 1e6:.0f} MB (CPU time, least of {_ROUNDS}):")
        _print_steps(runs)
        _print_commands(runs)


def _print_steps(runs: Path) -> None:
    steps: dict[str, Callable[[], object]] = {
        f"read all {RESULTS}": lambda: [read(file) for file in runs.glob(f"*/{RESULTS}")],
        "make the index": lambda: rebuild(runs),
        "ask for a case": lambda: consult(runs, partial(_ask, kind="case", name=CASE)),
        "ask for a backend": lambda: consult(runs, partial(_ask, kind="backend", name="backend_3")),
        "ask for everything": lambda: consult(runs, lambda history: overview(history.runs(), {})),
        "expected durations": lambda: Times.of_runs(runs),
    }
    costs = least({name: partial(_cpu, step) for name, step in steps.items()}, _ROUNDS)
    base = next(iter(costs.values()))
    for name, cost in costs.items():
        print(f"  {name}: {cost * 1000:.1f} ms, {cost / base:.3f} x")


def _ask(history: History, kind: str, name: str) -> object:
    return series_of(kind, name, history.runs(kind, name), {})


def _print_commands(runs: Path) -> None:
    command = [sys.executable, "-m", "harness", "history", f"--runs-dir={runs}"]
    given = {" ".join(["proctor history", *words]): [*command, *words] for words in ([CASE], ["backend_3"], [])}
    programs = {"python -c pass": [sys.executable, "-c", "pass"], **given}
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    costs = least({name: partial(cpu_s, words, ROOT, variables) for name, words in programs.items()}, _ROUNDS)
    for name, cost in costs.items():
        print(f"  {name}: {cost * 1000:.0f} ms")


def _cpu(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    main()
