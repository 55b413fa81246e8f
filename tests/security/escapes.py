"""Makes the attempts of `tests.security.inside` in rooms of an agent and of a policy, and their positive controls."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import harness
from harness.case_folder import CaseFolder
from harness.environments import plain
from harness.environments.maze import Maze
from harness.evaluation.policy import PolicyHost
from harness.sandbox.dirs import SandboxDirs
from tests.security.inside.run import ATTEMPTS
from tests.security.outside import Scene
from tests.security.rooms import sandbox_without
from tests.support.sandboxes import END_S, read_all

INSIDE = Path(__file__).with_name("inside")
PATIENCE_S = 300.0
RUN = "import sys; sys.path.insert(0, sys.argv[1]); from inside.run import main; main()"
POLICY = """
import json, os
from inside.run import outcomes

HOST = json.loads(open(os.path.join(os.path.dirname(__file__), "host.json")).read())

class GeneratedApproach:
    def __init__(self, *spaces, **rest): pass
    def reset(self, state, info): pass
    def get_action(self, state): return outcomes(HOST, HOST["names"])
"""

Outcomes = dict[str, str]


def in_agents_room(scene: Scene, without: frozenset[str], names: list[str], number: int) -> Outcomes:
    """Make attempts in the room of an agent."""
    sandbox = sandbox_without(without, scene.shown)
    case = f"case-{number}-{scene.facts['token']}"
    dirs = SandboxDirs(sandbox, CaseFolder(scene.folder / case), (scene.readable,))
    given = scene.folder / "given" / str(number)
    shutil.copytree(INSIDE, given / "inside", ignore=shutil.ignore_patterns("__pycache__"))
    endpoints = () if without & {"net", "none"} else ("model",)
    with dirs.open(endpoints=endpoints, mounts={"given": given}) as box:
        inside = box.mounts["given"]
        facts = {
            "names": names,
            "room": "agent",
            "case": case,
            "given": inside,
            "given_file": f"{inside}/inside/run.py",
            "shown": [str(path) for path in dirs.readable],
            "endpoint": int(box.endpoints["model"].url[-5:]) if endpoints else 0,
        }
        box.exec([sandbox.python.inside, "-I", "-S", "-B", "-c", RUN, inside], {})
        with box.stdin as told:
            told.write(json.dumps({**scene.facts, **facts}).encode())
        output = read_all(box)
        code = box.wait(END_S)
    assert code == 0, dirs.stderr.read_text()
    found: Outcomes = json.loads(output)
    return found


def in_policys_room(scene: Scene, without: frozenset[str], names: list[str], number: int) -> Outcomes:
    """Make attempts in the room of a policy."""
    sandbox = sandbox_without(without, scene.shown)
    place = scene.folder / f"graded-{number}"
    shutil.copytree(INSIDE, place / "submission/inside", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "submission/approach.py").write_text(POLICY)
    inside = str(place / "submission") if "none" in without else "/sandbox/submission"
    facts = {
        "names": names,
        "room": "policy",
        "case": str(scene.folder / "neighbour"),
        "given": inside,
        "given_file": f"{inside}/inside/run.py",
        "readable": inside,
        "locked": plain.__file__,
        "shown": [str(path) for path in (*sandbox.python.readable, Path(harness.__file__).parent)],
    }
    (place / "submission/host.json").write_text(json.dumps({**scene.facts, **facts}))
    maze = Maze(3, 5, 10)
    observation, info = maze.reset(0)
    with PolicyHost(sandbox, place / "submission", place / "scratch", maze.spaces()) as policy:
        policy.load()
        policy.reset(observation, info)
        found = policy.act(observation, PATIENCE_S)
    assert isinstance(found, dict), found
    return {name: str(outcome) for name, outcome in found.items()}


Room = Callable[[Scene, frozenset[str], list[str], int], Outcomes]
ROOMS: dict[str, Room] = {"agent": in_agents_room, "policy": in_policys_room}


def names_for(room: str) -> list[str]:
    """Return the attempts that apply to a kind of room."""
    return [name for name, one in ATTEMPTS.items() if one.only in {"", room}]


def sealed(scene: Scene, room: str) -> Outcomes:
    """Make all attempts in a sealed room."""
    return ROOMS[room](scene, frozenset(), names_for(room), 0)


def controls(scene: Scene, room: str) -> Outcomes:
    """Make each attempt in a room without the layers that should hold it. Attempts without such a room are left out."""
    rooms: dict[frozenset[str], list[str]] = {}
    for name in names_for(room):
        rooms.setdefault(ATTEMPTS[name].without, []).append(name)
    found: Outcomes = {}
    for number, (without, names) in enumerate(rooms.items(), 1):
        if without != {"impossible"}:
            found |= ROOMS[room](scene, without, names, number)
    return found
