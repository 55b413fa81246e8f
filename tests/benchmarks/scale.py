"""Plans past this machine: 50,000 cases of 40 models on a cluster of 200 nodes whose nodes fail, in virtual time.

The parts are those of `proctor launch`. A node runs one part at a time. It has four GPUs, and each serves one model to
four sessions at once. When a node fails, the sessions on it are lost. Its part is queued again and goes on, without the
cases that have ended, on the next free node. The node is back after an hour. Durations are log-normal, with a mean for
each model, and end at the wall time of a case. The merge of the 50,000 records is measured, not simulated.
"""

from __future__ import annotations

import heapq
import random
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing import Process
from pathlib import Path
from statistics import mean

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from harness.launch.plan import plan
from harness.results.merge import merge
from harness.schedule.planner import LOAD_S
from tests.support.cases import make_case
from tests.support.runs import record

NODES, GPUS, SEATS, MODELS, CASES = 200, 4, 4, 40, 50_000
BACK_S = 3600.0
"""How long a failed node is away."""

REQUEUE_S = 30.0
"""How long Slurm takes to start a queued part, and the part to collect its cases."""

CASE_S, SPREAD, WALL_S = 1500.0, 0.9, 3600.0


class Part(Struct):
    """The cases of a part that have not ended, in the order of the suite: the model and the seconds of each."""

    left: list[tuple[int, float]]


class Night(Struct):
    """What a simulated night cost. Times are in hours, of sessions in `lost_h`."""

    makespan_h: float = 0.0
    loads: int = 0
    lost_h: float = 0.0
    again: int = 0


class _Run(Struct):
    """A part on a node: when it would end, and what has ended by any time."""

    part: Part
    began: float
    ends: list[tuple[float, float, int]]
    loads: list[float]

    @property
    def end(self) -> float:
        return max((end for _, end, _ in self.ends), default=self.began)


def parts(count: int, known: bool, seed: int) -> tuple[list[Part], float]:
    """Return the parts of the suite, and the least possible hours of the night: all work spread evenly.

    If earlier runs are `known`, they tell how long a case took then, and the parts are those of `proctor launch`. If
    not, they have as many cases each.
    """
    chance = random.Random(seed)  # noqa: S311 - durations, no secret
    model_s = [chance.lognormvariate(0, 0.5) for _ in range(MODELS)]
    scale = CASE_S / mean(model_s)
    models = [chance.randrange(MODELS) for _ in range(CASES)]
    usual = [model_s[model] * scale for model in models]
    seconds = [min(WALL_S, one * chance.lognormvariate(-(SPREAD**2) / 2, SPREAD)) for one in usual]
    bases = [make_case(model=f"model{number}", parallel=SEATS) for number in range(MODELS)]
    cases = [replace(bases[model], id=str(number)) for number, model in enumerate(models)]
    past = {case.id: one * chance.lognormvariate(0, 0.3) for case, one in zip(cases, seconds, strict=True)}
    found = plan(cases, count, lambda case: past[case.id] if known else None)
    made = [Part([(models[int(name)], seconds[int(name)]) for name in part.cases]) for part in found]
    return made, sum(seconds) / (NODES * GPUS * SEATS) / 3600


def night(made: Sequence[Part], failures_per_hour: float, seed: int) -> Night:
    """Run all parts. A node fails with this chance in each hour. Raise `AssertionError` if a case is left."""
    chance = random.Random(seed)  # noqa: S311 - failures, no secret
    queue = deque(Part(list(part.left)) for part in made)
    told = Night()
    events: list[tuple[float, int]] = [(0.0, node) for node in range(NODES)]
    running: dict[int, _Run] = {}
    idle: list[int] = []
    while events:
        now, node = heapq.heappop(events)
        run = running.pop(node, None)
        if run is not None and now < run.end:  # the node has failed
            _lose(run, now, told)
            queue.append(run.part)
            told.again += 1
            heapq.heappush(events, (now + BACK_S, node))
            if idle:
                heapq.heappush(events, (now, idle.pop()))
            continue
        if run is not None:
            told.makespan_h = max(told.makespan_h, now / 3600)
            told.loads += len(run.loads)
        if not queue:
            idle.append(node)
            continue
        started = running[node] = _plan(queue.popleft(), now + REQUEUE_S)
        hours = chance.expovariate(failures_per_hour) if failures_per_hour else float("inf")
        heapq.heappush(events, (min(started.end, now + hours * 3600), node))
    assert not queue, "parts are left"
    return told


def _plan(part: Part, now: float) -> _Run:
    """Give each GPU a model, its cases one after the other, and then the next model, the largest first."""
    waiting: dict[int, list[int]] = {}
    for number, (model, _) in enumerate(part.left):
        waiting.setdefault(model, []).append(number)
    for cases in waiting.values():
        cases.sort(key=lambda number: part.left[number][1])
    run = _Run(part, now, [], [])
    serving: dict[int, int] = {}
    seats = [(now, gpu) for gpu in range(GPUS) for _ in range(SEATS)]
    ready: dict[int, float] = {}
    while seats and any(waiting.values()):
        at, gpu = heapq.heappop(seats)
        if not waiting.get(serving.get(gpu, -1)):
            free = [model for model in waiting if waiting[model] and model not in serving.values()]
            model = max(free or [m for m in waiting if waiting[m]], key=lambda m: len(waiting[m]))
            serving[gpu] = model
            ready[gpu] = at + LOAD_S
            run.loads.append(at)
        begin = max(at, ready[gpu])
        number = waiting[serving[gpu]].pop()
        end = begin + part.left[number][1]
        run.ends.append((begin, end, number))
        heapq.heappush(seats, (end, gpu))
    return run


def _lose(run: _Run, now: float, told: Night) -> None:
    """Count what a failure costs, and leave the part with the cases that have not ended."""
    done = {number for _, end, number in run.ends if end <= now}
    told.lost_h += sum(now - begin for begin, end, _ in run.ends if begin < now < end) / 3600
    told.loads += sum(at <= now for at in run.loads)
    run.part.left = [case for number, case in enumerate(run.part.left) if number not in done]


def _merging(folder: Path) -> None:
    """Merge 50,000 records of 200 parts, in a process of its own, and print what it took."""
    runs = sorted(folder.iterdir())
    began = time.monotonic()
    merge(runs, folder / "merged", {})
    took, megabytes = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = (folder / "merged/results.jsonl").stat().st_size / 1e6
    print(f"merge of {CASES} records of {len(runs)} parts ({size:.0f} MB): {took:.1f} s, at most {megabytes:.0f} MB")


def _written(folder: Path) -> None:
    conditions = {f"conditions.number{number}": f"value of condition {number}" for number in range(90)}
    base = record("claude", "large_maze", 1, solved=18, conditions=conditions, session="", artifacts=None)
    for part in range(NODES):
        run = folder / f"20260101T000000.{part:03}Z-night"
        run.mkdir()
        lines = (replace(base, case=replace(base.case, id=f"{part}-{n}")) for n in range(CASES // NODES))
        (run / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def lines() -> Iterator[str]:
    """Yield a line for each number of parts and rate of failures."""
    for count, known in ((NODES, False), (NODES, True), (2 * NODES, True), (5 * NODES, True)):
        made, least = parts(count, known, seed=1)
        for rate in (0.0, 0.02, 0.1):
            nights = [night(made, rate, seed) for seed in range(5)]
            makespan = mean(one.makespan_h for one in nights)
            lost = mean(one.lost_h for one in nights) / (least * NODES * GPUS * SEATS)
            loads, again = mean(one.loads for one in nights), mean(one.again for one in nights)
            yield (
                f"{count} parts{'' if known else ', times not known'}, {rate:.0%} of nodes fail an hour: "
                f"{makespan:.1f} h ({makespan / least:.2f} x the least), {loads:.0f} loads, {lost:.2%} of the work "
                f"lost, {again:.0f} parts again"
            )


def main() -> None:
    """Print the figures."""
    print(
        f"{CASES} cases of {MODELS} models on {NODES} nodes with {GPUS} GPUs, {SEATS} sessions each, in virtual time:"
    )
    for line in lines():
        print(f"  {line}")
    with tempfile.TemporaryDirectory() as folder:
        _written(Path(folder))
        merging = Process(target=_merging, args=(Path(folder),))
        merging.start()
        merging.join()
    sys.exit(merging.exitcode)


if __name__ == "__main__":
    main()
