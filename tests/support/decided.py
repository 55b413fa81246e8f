"""A project whose cases need no agent: programs are good or bad as the test says. With a baseline of good nights."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from harness.results.store import RunStore
from harness.seed_key import VARIABLE
from tests.support.own_project import ENVIRONMENT
from tests.support.project import INI, Project
from tests.support.seed import SEED

CONFTEST = """\
import os
from pathlib import Path

import pytest

PROGRAM = '''
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        pass

    def reset(self, state, info):
        pass

    def get_action(self, state):
        return "walk" if state < 3 or {bad} else "open"
'''


@pytest.fixture(scope="session")
def house():
    yield
    with Path("houses.txt").open("a") as file:
        file.write("down" + chr(10))


@pytest.fixture
def submission(case, tmp_path, house):
    killed = Path("killed.txt")
    if os.environ.get("KILLER") == case.id and not killed.exists():
        killed.touch()
        os._exit(9)
    bad = case.environment.name == os.environ.get("BAD") and case.id != os.environ.get("GOOD")
    (tmp_path / "approach.py").write_text(f"# {case.id}" + PROGRAM.format(bad=bad))
    return tmp_path
"""

TEST = """\
def test_case(case, score):
    assert score.crashed == 0
"""

BASE = "runs/20260101T010000.000Z-mine"


class DecidedProject(Project):
    """A project with two cases, `claude-far-door` and `claude-far-gate`, and one replicate of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("pytest.ini", INI)
        self.write("mylab/__init__.py", "")
        self.write("mylab/envs.py", ENVIRONMENT)
        for name in ("door", "gate"):
            self.write(f"conf/environment/{name}.yaml", f"name: {name}\nkind: mylab.envs:Door\nmax_steps: 5\n")
        far = "name: far\nkind: remote\nwires: [anthropic_messages]\nbase_url: https://models.invalid\n"
        self.write("conf/provider/far.yaml", far)
        self.write("conf/model/far.yaml", "name: far\nprovider: far\n")
        self.write(
            "conf/suite/mine.yaml", "name: mine\nbackends: [claude]\nmodels: [far]\nenvironments: [door, gate]\n"
        )
        self.write("conf/config.yaml", "evaluation: {episodes: 2}\n")
        self.write("conftest.py", CONFTEST)
        self.write("test_mine.py", TEST)

    @property
    def variables(self) -> dict[str, str]:
        """See `Project.variables`. The cases of a real model need a private seed."""
        return super().variables | {VARIABLE: SEED}

    def make_baseline(self) -> None:
        """Run the cases once, and write a run in which each of them has 14 such replicates."""
        done = self.pytest("--suite", "mine")
        assert done.returncode == 0, done.stdout + done.stderr
        records = self.records
        store = RunStore(self.folder / BASE)
        store.begin([])
        for record in records.values():
            for number in range(1, 15):
                name = f"{record.case.id}-r{number}"
                store.append(
                    replace(
                        record,
                        case=replace(record.case, id=name, replicate=number),
                        session=name,
                        started_at=f"2026-01-01T01:00:{number:02}.000Z",
                        submission={**(record.submission or {}), "digest": f"program {number}"},
                        artifacts=None,
                    )
                )
        store.end()

    def until_decided(self, *arguments: str) -> str:
        """Run the cases until they are decided, each at most 4 times. Return what pytest printed."""
        done = self.pytest("--suite", "mine", "--baseline", BASE, "--until-decided", *arguments)
        return done.stdout + done.stderr
