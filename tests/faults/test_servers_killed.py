"""Workers are killed at any moment of a model server's life. The next worker clears away all that is left."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from harness.servers.processes import process
from harness.servers.stop import sweep
from tests.support.serving import Machine, Worker, wait_until

MOMENTS = ("starting ollama", "loading", "held ", "releasing")
"""What a worker prints at the moments when it is killed."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine(tmp_path, monkeypatch, gpus=4)
    yield machine
    for pid in machine.processes:
        _kill(pid)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_next_start_clears_away_what_a_killed_worker_left(machine: Machine, moment: str) -> None:
    machine.ollama.turn(start_s=0.1, load_s=0.1, unload_s=0.1)
    with machine.worker() as worker:
        if moment == "releasing":
            worker.held()
            worker.release(wait=False)
        worker.wait_for(moment)
        worker.kill()
    assert machine.servers
    with machine.acquire() as lease:
        assert lease.gpus == (machine.gpus.uuids[0],), "the GPU of the dead is free again"
        assert len(machine.servers) == 1
    assert machine.is_clean()


def test_a_server_whose_users_die_one_by_one_lives_as_long_as_the_last_one(machine: Machine) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(machine.worker(parallel=3)) for _ in range(3)]
        for worker in workers:
            worker.held()
        for worker in workers[:2]:
            worker.kill()
        assert sweep() == []
        assert len(machine.servers[0].holders) == 1
        workers[2].kill()
    assert sweep() == ["ollama/qwen"]
    assert machine.is_clean()


def test_the_children_of_a_killed_server_are_found_too(machine: Machine) -> None:
    with machine.worker(gpus=2) as worker:
        worker.held()
        server = process(machine.ollama.events("start")[0]["pid"])
        orphan = process(machine.ollama.events("load")[0]["child"])
        assert server
        assert orphan
        os.kill(server.pid, signal.SIGKILL)
        worker.kill()
    wait_until(lambda: not server.lives, "the server's death")
    assert orphan.lives
    sweep()
    assert not orphan.lives
    assert machine.is_clean()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 11))])
def test_nothing_is_left_whatever_is_killed_at_any_moment(machine: Machine, seed: int) -> None:
    """Each run has five workers with servers. Some are killed while others use the same server, or wait for it."""
    chance = random.Random(seed)  # noqa: S311 - to be the same every time
    machine.ollama.turn(start_s=0.05, load_s=0.05, unload_s=0.05)
    with ExitStack() as stack:
        alive: list[Worker] = []
        for _ in range(5):
            model = {"name": chance.choice(["one", "two"]), "parallel": chance.choice([1, 2])}
            worker = stack.enter_context(machine.worker(**model))
            worker.wait_for(chance.choice(["starting ollama", "loading", "held "]), "held ")
            alive.append(worker)
            if chance.random() < 0.3 and (servers := sorted(machine.processes)):
                _kill(chance.choice(servers))
            while len(alive) > chance.randint(0, 2):
                alive.pop(chance.randrange(len(alive))).kill()
    sweep()
    assert machine.is_clean()


def _kill(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).kill()
