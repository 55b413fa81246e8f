"""Measures one environment of each class, draws it, and writes the table of docs/environments.md.

Run it with `python -m tests.worlds.table` after `make environments`, on a machine that does nothing else. It takes
about five minutes. Arguments name classes: then only their rows and pictures are renewed.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final, NamedTuple

from PIL import Image

from harness.environment_conf import EnvironmentConf
from harness.environments.exploring import fixed_action
from harness.environments.factory import available, make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.kinder_ids import CLASSES, ids_of
from harness.environments.worlds import conf_of
from harness.suite.config import load_environments
from tests.support.project import CONF, ROOT

PAGE: Final = ROOT / "docs/environments.md"
PICTURES: Final = ROOT / "docs/environments"
BEGIN: Final = "<!-- `python -m tests.worlds.table` writes what follows. -->"
END: Final = "<!-- `python -m tests.worlds.table` has written what precedes. -->"
HEAD: Final = """
| | class | environments | engine | states | observation | action | steps/s | reset s | start s |
|---|---|---|---|---|---|---|---|---|---|
"""

_HEIGHT: Final = 96
_MEASURED_S: Final = 4.0
_OTHERS: Final = {
    "small_maze": "Proctor's own",
    "large_maze": "Proctor's own",
    "minigrid_doorkey": "MiniGrid",
    "fetch_reach": "Gymnasium-Robotics",
    "metaworld_reach": "Meta-World",
    "libero_goal_drawer": "LIBERO-PRO",
}
_ENGINES: Final = {
    None: "geometry",
    "pymunk": "Pymunk",
    "pybullet": "PyBullet",
    "prpl_kinematics": "PyBullet",
    "ikfast": "PyBullet",
    "mujoco": "MuJoCo",
}


class Subject(NamedTuple):
    """A row of the table: the class, the environments that it stands for, its engine, and the one that is measured."""

    name: str
    stands_for: str
    engine: str
    conf: EnvironmentConf


def subjects() -> Iterator[Subject]:
    """Yield what the table has a row for."""
    packaged = load_environments(CONF)
    for name, engine in _OTHERS.items():
        yield Subject(name, f"`{name}`", engine, packaged[name])
    for name, world in CLASSES.items():
        ids = ids_of(name)
        shown = f"{len(ids)}: `{ids[0]}`" if len(ids) == 1 else f"{len(ids)}: `{ids[0]}`, …"
        yield Subject(name, f"{world.family}, {shown}", _ENGINES[world.engine], conf_of(ids[0]))


def row(subject: Subject) -> str:
    """Measure an environment, save its picture, and return its row. Raise `SystemExit` if it cannot run here."""
    if missing := available(subject.conf):
        raise SystemExit(missing)
    begun = time.perf_counter()
    with closing(make_environment(subject.conf)) as environment:
        started = time.perf_counter() - begun
        environment.reset(0)
        begun = time.perf_counter()
        environment.reset(1)
        reset = time.perf_counter() - begun
        _save(environment, subject.name)
        spaces = environment.spaces()
        cells = [
            f"![{subject.name}](environments/{subject.name}.webp)",
            subject.name,
            subject.stands_for,
            subject.engine,
            environment.state_fidelity,
            _size(spaces["observation_space"]),
            _size(spaces["action_space"]),
            f"{_steps_per_second(environment):.0f}",
            f"{reset:.2f}",
            f"{started:.1f}",
        ]
    return f"| {' | '.join(map(str, cells))} |"


def _steps_per_second(environment: HostedEnvironment) -> float:
    """Return how many steps a second the harness can take, without the time of resets."""
    space, steps, spent = environment.spaces()["action_space"], 0, 0.0
    environment.reset(2)
    while spent < _MEASURED_S:
        begun = time.perf_counter()
        step = environment.step(fixed_action(space, steps))
        spent += time.perf_counter() - begun
        steps += 1
        if step.terminated or step.truncated:
            environment.reset(2)
    return steps / spent


def _save(environment: HostedEnvironment, name: str) -> None:
    picture = Image.fromarray(environment.render())
    picture.thumbnail((2 * _HEIGHT, _HEIGHT))
    PICTURES.mkdir(exist_ok=True)
    picture.save(PICTURES / f"{name}.webp", quality=80, method=6)


def _size(space: Any) -> str:
    """Return how many numbers a member of a space has, or what kind of space it is."""
    match space["type"]:
        case "box":
            return " x ".join(map(str, space["low"].shape))
        case "discrete":
            return f"one of {space['n']}"
        case "dict":
            return f"dict of {len(space['spaces'])}"
        case kind:
            return str(kind)


def main(names: list[str]) -> None:
    """Renew the rows of these classes, or all rows."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    known = {found[1]: found[0] for found in re.finditer(r"^\| !\[(\w+)\].*\|$", table, re.MULTILINE)}
    rows = []
    for subject in subjects():
        if not names or subject.name in names:
            known[subject.name] = row(subject)
            print(known[subject.name], flush=True)
        rows += [known[subject.name]] if subject.name in known else []
    PAGE.write_text(f"{before}{BEGIN}\n{HEAD}{chr(10).join(rows)}\n\n{END}{after}")


if __name__ == "__main__":
    main(sys.argv[1:])
