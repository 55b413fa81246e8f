"""The faults of `make faults`. Each strikes a run at a moment between 0 and 1 of the time in which it can.

A strike returns whether it hit the run while that was running.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress

import psutil
from msgspec import Struct

from harness.gateway.script import load_script
from harness.gateway.scripted import ScriptedProvider
from harness.results.record import Record
from harness.sandbox.filesystem import WORKSPACE
from tests.support.dropping_service import DroppingService
from tests.support.failing_disk import FailingDisk, disks_can_fail
from tests.support.moved_clock import MovedClock, clocks_can_move
from tests.support.plain_records import has_result, plain, result
from tests.support.struck_run import HUNG_S, SUITE, StruckProject
from tests.support.thread_faults import GATEWAY, MCP, STRIKES, THREAD

_AGAIN_S = 0.2
_JUMPS = (86_400, -86_400, 3_600, -400 * 86_400, -90, 400 * 86_400, 90, -3_600)
"""Seconds. A run that took the wall clock for a stopwatch would pass its limits, or see times below 0."""


class Draw(Struct, frozen=True):
    """What hypothesis has drawn: `moment` is between 0 and 1, and `which` chooses among the possible victims."""

    moment: float
    which: int


Strike = Callable[[StruckProject, psutil.Popen, Draw, float], bool]
"""The last argument is how many seconds an unbroken run takes."""


SetUp = Callable[[StruckProject, ExitStack], Strike]


class Fault(Struct, frozen=True):
    """A kind of fault. `what` names it in the documentation.

    `set_up` prepares a project for it, and returns the strike. `same` returns what a record has in common with that of
    an unbroken run. With `needs_agent`, a run that only grades a submission cannot be struck. `missing` says
    what this machine lacks for it.
    """

    what: str
    set_up: SetUp
    same: Callable[[Record], object] = plain
    needs_agent: bool = False
    missing: Callable[[], str | None] = lambda: None


def kill_one(victims: Callable[[psutil.Popen], list[psutil.Process]], share: float) -> SetUp:
    """Return what sets up the strike that kills one of the victims.

    Its time begins with the first victim, and is this share of an unbroken run.
    """

    def strike(struck: StruckProject, run: psutil.Popen, draw: Draw, seconds: float) -> bool:
        if not struck.watch(run, lambda: bool(victims(run))):
            return False
        struck.watch(run, lambda: False, draw.moment * share * seconds)
        while struck.watch(run, lambda: bool(victims(run))):
            there = victims(run)
            if there:
                with suppress(psutil.NoSuchProcess):
                    there[draw.which % len(there)].kill()
                    return True
        return False

    return lambda _struck, _stack: strike


def kill_all(kill: Callable[[psutil.Popen], None]) -> SetUp:
    """Return what sets up the strike that kills the run at any moment, as `kill` does."""

    def strike(struck: StruckProject, run: psutil.Popen, draw: Draw, seconds: float) -> bool:
        if not struck.watch(run, lambda: False, draw.moment * seconds):
            return False
        struck.note_written()
        struck.left.note(run, ports=True)
        kill(run)
        return True

    return lambda _struck, _stack: strike


def clis(run: psutil.Popen) -> list[psutil.Process]:
    return [process for process in _family(run) if _name(process) == "claude"]


def hosts(run: psutil.Popen) -> list[psutil.Process]:
    return [process for process in _family(run) if "environments/host.py" in " ".join(_command(process))]


def workers(run: psutil.Popen) -> list[psutil.Process]:
    """Return the workers that already listen to the controller. Killing one earlier ends an xdist session at once."""
    with suppress(psutil.NoSuchProcess):
        return [worker for worker in run.children() if _threads(worker) > 1]
    return []


def stop_serving(target: str) -> SetUp:
    """Return what sets up the strike that lets a worker's MCP server, its gateway, or their thread end."""

    def set_up(struck: StruckProject, _stack: ExitStack) -> Strike:
        orders = struck.folder / "orders"
        orders.mkdir()
        struck.variables = {STRIKES: str(orders)}
        struck.options += ("-p", "tests.support.thread_faults")
        order, done = orders / target, orders / f"{target}.done"

        def strike(struck: StruckProject, run: psutil.Popen, draw: Draw, seconds: float) -> bool:
            done.unlink(missing_ok=True)
            if not struck.watch(run, lambda: bool(clis(run))):
                return False
            struck.watch(run, lambda: False, draw.moment * 0.3 * seconds)
            order.touch()
            struck.watch(run, done.exists)
            order.unlink(missing_ok=True)
            return done.exists()

        return strike

    return set_up


def fail_disk(how: str) -> SetUp:
    """Return what sets up the strike that lets the disk of the runs fail. It is repaired when the run has ended."""

    def set_up(struck: StruckProject, stack: ExitStack) -> Strike:
        disk = stack.enter_context(FailingDisk(struck.runs))
        struck.repair = disk.repair
        fail = getattr(disk, how)

        def strike(struck: StruckProject, run: psutil.Popen, draw: Draw, seconds: float) -> bool:
            if not struck.watch(run, lambda: False, draw.moment * 0.9 * seconds):
                return False
            struck.stop_noting()
            fail()
            for _ in range(int(HUNG_S / _AGAIN_S)):  # what the run removes makes room again
                if not struck.watch(run, lambda: False, _AGAIN_S):
                    break
                fail()
            return True

        return strike

    return set_up


def drop_model(struck: StruckProject, stack: ExitStack) -> Strike:
    """Set up a model service that drops its connections in the middle of an answer, and works again later."""
    script = load_script(struck.project.folder / "conf/scripts/small_maze.yaml")
    service = stack.enter_context(DroppingService(None, ScriptedProvider(script), WORKSPACE))
    struck.project.write(
        "conf/provider/far.yaml", f"name: far\nkind: remote\nbase_url: {service.url}\nwires: [anthropic_messages]\n"
    )
    struck.project.write("conf/model/far.yaml", "name: far\nprovider: far\nserved_as: far-1\n")
    struck.project.write("conf/suite/struck.yaml", SUITE.replace("scripted", "far"))
    struck.variables = {"PROCTOR_SEED": "7" * 64}

    def strike(struck: StruckProject, run: psutil.Popen, draw: Draw, seconds: float) -> bool:
        before = service.dropped
        if not struck.watch(run, lambda: bool(clis(run))):
            return False
        struck.watch(run, lambda: False, draw.moment * 0.25 * seconds)
        service.drop(after=draw.which)
        struck.watch(run, lambda: service.dropped > before)
        return service.dropped > before

    return strike


def move_clock(struck: StruckProject, _stack: ExitStack) -> Strike:
    """Set up a wall clock that jumps at a moment, again later, and back: by years, days, hours or minutes."""
    clock = MovedClock(struck.folder)
    struck.variables = clock.variables
    struck.repair = lambda: clock.move(0)

    def strike(struck: StruckProject, run: psutil.Popen, draw: Draw, seconds: float) -> bool:
        if not struck.watch(run, lambda: False, draw.moment * 0.8 * seconds):
            return False
        for turn in range(3):
            clock.move(_JUMPS[(draw.which + 3 * turn) % len(_JUMPS)])
            struck.watch(run, lambda: False, 0.1 * seconds)
        return True

    return strike


def _no_disk() -> str | None:
    return None if disks_can_fail() else "only root can mount a disk that fails, on a machine with loop devices"


def _no_compiler() -> str | None:
    return None if clocks_can_move() else "there is no C compiler for the library that moves the clock"


FAULTS = {
    "cli": Fault("CLI killed", kill_one(clis, 0.3), same=result, needs_agent=True),
    "mcp": Fault("MCP server ends", stop_serving(MCP), same=result, needs_agent=True),
    "gateway": Fault("gateway ends", stop_serving(GATEWAY), same=result, needs_agent=True),
    "thread": Fault("thread of gateway and MCP server ends", stop_serving(THREAD), same=result, needs_agent=True),
    "host": Fault("a process of an environment killed", kill_one(hosts, 0.6), same=result),
    "worker": Fault("worker killed", kill_one(workers, 0.7)),
    "controller": Fault("controller killed", kill_all(psutil.Popen.kill)),
    "job": Fault("controller and workers killed", kill_all(lambda run: os.killpg(run.pid, signal.SIGKILL))),
    "model": Fault("model service drops an answer", drop_model, same=has_result, needs_agent=True),
    "full": Fault("disk of the runs full (`ENOSPC`)", fail_disk("fill"), same=result, missing=_no_disk),
    "eio": Fault("disk of the runs broken (`EIO`)", fail_disk("break_down"), same=result, missing=_no_disk),
    "read-only": Fault(
        "disk of the runs read-only (`EROFS`)", fail_disk("stop_writing"), same=result, missing=_no_disk
    ),
    "clock": Fault("wall clock jumps back and forth", move_clock, missing=_no_compiler),
}


def _family(run: psutil.Popen) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return list(run.children(recursive=True))
    return []


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(process.name())
    return ""


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return list(process.cmdline())
    return []


def _threads(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.num_threads())
    return 0
