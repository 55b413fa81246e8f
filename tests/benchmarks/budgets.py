"""Measures what a shared budget adds to a model request: `python -m tests.benchmarks.budgets`.

The same gateway answers requests without a shared budget and with two of them, in turns.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from unittest import mock

from harness.budget_conf import BudgetConf
from harness.gateway.purse import HeldSpend, Purse, Spend
from harness.gateway.script import load_script
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.shared_budget import SharedBudget
from tests.support.gateway_client import CHAT, Session
from tests.support.shared_purses import case_with, workers

_ROUNDS = 40
_REQUESTS = 25
_MANY = BudgetConf(cost_usd=1e6, tokens=10**12, requests=10**9)


def main() -> None:
    """Print the milliseconds of a request with shared budgets and without, and of the work with the file alone."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder)}))
        team = stack.enter_context(workers(folder))
        script = folder / "script.yaml"
        script.write_text("turns: [{text: a}]")
        provider = ScriptedProvider(load_script(script))
        purses = team.purses(case_with(_MANY, _MANY))
        ways = {"without": team.session(None, provider), "with two": team.session(purses, provider)}
        times = dict[str, list[float]]((name, []) for name in ways)
        for _ in range(_ROUNDS):
            for name, session in ways.items():
                times[name].append(_seconds(session))
        without, with_two = (median(found) for found in times.values())
        alone = _alone(folder / "alone.sqlite")
    print("shared budgets (medians, in turns):")
    print(f"  a request without {without * 1e3:.2f} ms, with two {with_two * 1e3:.2f} ms ({with_two / without:.2f} x)")
    print(f"  reserve, send and settle in the file: {alone * 1e6:.0f} us ({alone / without:.2f} of a request)")


def _seconds(session: Session) -> float:
    """Return the seconds that one request takes."""
    began = time.perf_counter()
    for _ in range(_REQUESTS):
        session.ask(CHAT)
    return (time.perf_counter() - began) / _REQUESTS


def _alone(file: Path) -> float:
    budget, purse, worst = SharedBudget(file, time.time), Purse(name="alone", requests=10**9), Spend.of(0.1, 1000)
    times = list[float]()
    for _ in range(_ROUNDS * _REQUESTS):
        began = time.perf_counter()
        held = budget.reserve([purse], worst)
        assert isinstance(held, HeldSpend)
        budget.send(held)
        budget.settle(held, worst)
        times.append(time.perf_counter() - began)
    budget.close()
    return median(times)


if __name__ == "__main__":
    main()
