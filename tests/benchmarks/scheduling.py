"""Distributes 1,000 cases of 12 models over 8 GPUs in virtual time, with our scheduler and with xdist's schedulers.

All schedulers get the same durations. They are log-normal, with a mean for each model and environment; one case in ten
fails early. Earlier runs show how long a case took then, not how long it takes now. In one row, 20 cases kill their
worker once. Each model needs one GPU, whose memory holds one model. Loading it takes a minute. Eight workers run the
real schedulers; only time, workers and servers are simulated (`tests/support/virtual_xdist.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any

import msgspec
from msgspec import Struct
from xdist.remote import Producer  # type: ignore[import-untyped]  # likewise
from xdist.scheduler import (  # type: ignore[import-untyped]  # xdist says no types
    LoadGroupScheduling,
    LoadScheduling,
    WorkStealingScheduling,
)

from harness.case import ServerNeed
from harness.results.times import UNKNOWN_S
from harness.schedule.planner import LOAD_S, Machine
from harness.schedule.scheduler import CaseScheduling, Demand
from tests.support.virtual_xdist import Item, Outcome, VirtualRun

_QUIET = Producer("", enabled=False)
MODELS, GPUS, SEEDS = 12, 8, range(10)
_BACKENDS, _ENVIRONMENTS, _REPLICATES = 4, 7, 3


class Suite(Struct):
    """The cases of one seed in the order of collection, and their durations in earlier runs."""

    items: list[Item]
    expected: dict[str, float]

    def least_s(self) -> float:
        """Return a lower bound: all work and one load per model spread evenly, or the longest case with its load."""
        work = sum(item.seconds for item in self.items) + MODELS * LOAD_S
        return max(work / GPUS, max(item.seconds for item in self.items) + LOAD_S)


def suite(seed: int) -> Suite:
    """Return 1,000 cases: 12 models with 83 or 84 each."""
    chance = random.Random(seed)  # noqa: S311 - durations, no secret
    model_s = [chance.lognormvariate(5, 0.7) for _ in range(MODELS)]
    environment_x = [chance.lognormvariate(0, 0.5) for _ in range(_ENVIRONMENTS)]
    needs = [ServerNeed(f"model{number}", gpus=1, parallel=1) for number in range(MODELS)]
    whole = [
        (backend, model, environment, replicate)
        for backend in range(_BACKENDS)
        for model in range(MODELS)
        for environment in range(_ENVIRONMENTS)
        for replicate in range(_REPLICATES)
    ][:1000]
    items, expected = [], {}
    for backend, model, environment, replicate in whole:
        name = f"b{backend}-m{model}-e{environment}-r{replicate}"
        usual = model_s[model] * environment_x[environment]
        seconds = usual * chance.lognormvariate(0, 0.5)
        if chance.random() < 0.1:
            seconds *= chance.random()
        items.append(Item(f"test_cases.py::test_case[{name}]", seconds, needs[model]))
        expected[name] = usual * chance.lognormvariate(0, 0.3)
    return Suite(items, expected)


def ours(cases: Suite, known: bool) -> Callable[[Any, Any], CaseScheduling]:
    """Return our scheduler, with or without the times of earlier runs."""
    demands = {
        name: Demand(seconds if known else UNKNOWN_S, item.server)
        for (name, seconds), item in zip(cases.expected.items(), cases.items, strict=True)
    }
    return lambda config, clock: CaseScheduling(config, _QUIET, demands, Machine(gpus=GPUS, cpu_slots=1), clock=clock)


def grouped(items: Sequence[Item]) -> list[Item]:
    """Return the items as `--dist loadgroup` names them, with a group for each model."""
    return [
        Item(f"{item.nodeid}@{item.server.key}", item.seconds, item.server) if item.server else item for item in items
    ]


def killing(items: Sequence[Item]) -> list[Item]:
    """Return the same items, but every fiftieth kills its worker half-way and has to run again."""
    return [msgspec.structs.replace(item, kills=1) if number % 50 == 25 else item for number, item in enumerate(items)]


def run(items: Sequence[Item], scheduler: Callable[[Any, Any], Any]) -> Outcome:
    """Run the items. Raise `SystemExit` if a case does not run exactly once."""
    outcome = VirtualRun(
        items, scheduler, workers=GPUS, gpus=GPUS, load_s=LOAD_S, start_s=0.0, on_crash=CaseScheduling.run_again
    ).run()
    if dict(outcome.ended) != {item.nodeid: 1 for item in items}:
        raise SystemExit(f"of {len(items)} cases {outcome.ended.total()} were run to their end, some twice or never")
    return outcome


def main() -> None:
    """Print, for each scheduler, the makespan over the lower bound, and the loads."""
    kinds: dict[str, Callable[[Suite], Outcome]] = {
        "ours": lambda cases: run(cases.items, ours(cases, known=True)),
        "ours, 20 killed": lambda cases: run(killing(cases.items), ours(cases, known=True)),
        "ours, first run": lambda cases: run(cases.items, ours(cases, known=False)),
        "load": lambda cases: run(cases.items, lambda config, clock: LoadScheduling(config, _QUIET)),
        "worksteal": lambda cases: run(cases.items, lambda config, clock: WorkStealingScheduling(config, _QUIET)),
        "loadgroup": lambda cases: run(grouped(cases.items), lambda config, clock: LoadGroupScheduling(config, _QUIET)),
    }
    suites = [suite(seed) for seed in SEEDS]
    least = [cases.least_s() for cases in suites]
    print(
        f"distributing {len(suites[0].items)} cases of {MODELS} models over {GPUS} GPUs ({len(suites)} seeds, least "
        f"possible time {min(least) / 3600:.1f} to {max(least) / 3600:.1f} h, a load {LOAD_S:.0f} s):"
    )
    for name, play in kinds.items():
        outcomes = [play(cases) for cases in suites]
        ratios = [outcome.makespan / bound for outcome, bound in zip(outcomes, least, strict=True)]
        loads = [len(outcome.loads) for outcome in outcomes]
        again = [len(outcome.loads) - len({(load.key, load.gpus) for load in outcome.loads}) for outcome in outcomes]
        print(
            f"  {name:16} time / least possible {mean(ratios):.3f} (at most {max(ratios):.3f}), "
            f"loads {mean(loads):.1f} (at most {max(loads)}), of these {mean(again):.1f} again on the same GPU"
        )


if __name__ == "__main__":
    main()
