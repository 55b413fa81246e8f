"""KinDER's environments in their engines: each is made, begun, moved and drawn in its host process, and then ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from harness.environments.exploring import fixed_action
from harness.environments.factory import available, make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import close_hosts
from harness.environments.interpreters import WORLDS, folder_of, missing, packages_in, python_in
from harness.environments.kinder_ids import CLASSES, all_ids, ids_of
from harness.environments.worlds import conf_of
from tests.support.processes import gone

pytestmark = pytest.mark.worlds

STEPS = 5
MEASURED = ("make", "reset", "step", "render")
ONE_OF_EACH = [ids_of(name)[0] for name in CLASSES]

TABLE = """
import kinder
kinder.register_all_environments()
for name, told in sorted(kinder.get_env_classes().items()):
    for one in sorted(told["variants"]):
        print(name, told["category"].lower(), told["backend"], one)
"""


@pytest.fixture(scope="module", autouse=True)
def installed_packages_do_not_change() -> Iterator[None]:
    """No environment changes what is installed: what one writes there, another would run."""
    before = contents()
    yield
    assert contents() == before


def contents() -> dict[Path, tuple[int, int]]:
    assert missing(WORLDS) is None
    packages = packages_in(folder_of(WORLDS))
    assert packages is not None
    files = [path for path in packages.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def play(environment: HostedEnvironment) -> list[float]:
    """Play a few fixed actions. Return the seconds of the reset, of a step and of a picture."""
    began = time.monotonic()
    observation, _ = environment.reset(0)
    reset = time.monotonic()
    space = environment.spaces()["action_space"]
    for number in range(STEPS):
        step = environment.step(fixed_action(space, number))
        assert np.shape(step.observation) == np.shape(observation)
        assert np.isfinite(step.reward)
    played = time.monotonic()
    picture = environment.render()
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.std() > 0, "the picture shows something"
    return [reset - began, (played - reset) / STEPS, time.monotonic() - played]


def run(kinder_id: str) -> None:
    """Run an environment, and print the seconds that each part took (`pytest -s` shows them)."""
    conf = conf_of(kinder_id)
    began = time.monotonic()
    assert available(conf) is None
    with closing(make_environment(conf)) as environment:
        seconds = [time.monotonic() - began, *play(environment)]
        processes = psutil.Process().children(recursive=True)
    close_hosts()
    assert gone([process.pid for process in processes], within=10.0)
    print(f"\n{kinder_id}", *(f"{what} {n:.2f}" for what, n in zip(MEASURED, seconds, strict=True)), end=" ")


@pytest.mark.parametrize("kinder_id", ONE_OF_EACH)
def test_one_environment_of_each_class_runs(kinder_id: str) -> None:
    run(kinder_id)


@pytest.mark.nightly
@pytest.mark.parametrize("kinder_id", [one for one in all_ids() if one not in ONE_OF_EACH])
def test_every_environment_runs(kinder_id: str) -> None:
    run(kinder_id)


def test_the_table_of_ids_is_that_of_kinder() -> None:
    backends = {"tomsgeoms2d": None, "pybullet": "pybullet"}
    told = subprocess.run(
        [python_in(folder_of(WORLDS)), "-B", "-c", TABLE],
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split() for line in told.splitlines() if line.count(" kinder/") == 1]
    theirs = {one: (name, family, backends.get(backend, backend)) for name, family, backend, one in rows}
    ours: dict[str, tuple[str, str, str | None]] = {}
    for name, world in CLASSES.items():
        engine = "pybullet" if world.engine == "ikfast" else world.engine
        ours |= dict.fromkeys(ids_of(name), (name, world.family, engine))
    assert ours == theirs


def test_an_engine_that_does_not_work_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    close_hosts()
    monkeypatch.setenv("MUJOCO_GL", "nonesuch")
    reason = available(conf_of("kinder/PickPlace3D-o1-v0"))
    close_hosts()
    assert reason is not None
    assert "the engine mujoco of KinDER does not work" in reason
    assert "MUJOCO_GL: nonesuch" in reason


def test_proctors_own_python_has_no_engine_and_says_where_there_is_one() -> None:
    reason = available(msgspec.structs.replace(conf_of("kinder/DynPushT2D-t1-v0"), interpreter=None))
    assert reason is not None
    assert "the engine pymunk of KinDER does not work" in reason
    assert "`interpreter: worlds`" in reason
