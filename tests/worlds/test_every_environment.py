"""Every environment of KinDER: it tells what it is, checks actions, and takes back its own states."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from harness.environments.base import InvalidAction
from harness.environments.factory import make_environment
from harness.environments.fidelity import sentence
from harness.environments.hosted import HostedEnvironment
from harness.environments.spaces import build_space
from tests.support.faithful import Draw, assert_faithful
from tests.support.worlds import every_id, world

pytestmark = pytest.mark.worlds

ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)


@pytest.fixture(scope="module", params=every_id())
def environment(request: pytest.FixtureRequest) -> Iterator[HostedEnvironment]:
    environment = make_environment(world(request.param))
    yield environment
    environment.close()


def rows(section: str) -> list[list[str]]:
    """Return the rows of the tables in a section, without their heads."""
    cells = [row.split(" | ") for row in ROW.findall(section)]
    return [row for row in cells if row[0].isdigit() or (len(row) == 4 and row[1].isdigit())]


def test_every_component_has_a_name_and_a_meaning(environment: HostedEnvironment) -> None:
    text, spaces = environment.describe(), environment.spaces()
    sections = dict(part.split("\n", 1) for part in text.split("\n## "))
    size = spaces["observation_space"]["low"].size
    observed, actions = rows(sections["Observation"]), rows(sections["Action"])
    assert all(cell.strip() for row in [*observed, *actions] for cell in row)
    assert [row[0] for row in actions] == [str(index) for index in range(spaces["action_space"]["low"].size)]
    if "Features 1:" not in sections["Observation"]:
        assert [row[0] for row in observed] == [str(index) for index in range(size)]
    else:
        objects = [row for row in observed if not row[0].isdigit()]
        covered = [index for row in objects for index in range(int(row[1]), int(row[2]) + 1)]
        assert covered == list(range(size))
    assert len(sections["Reward"].split()) >= 3
    assert "An episode is solved when it terminates" in text
    assert sentence(environment.state_fidelity) in sections["Observation"]
    assert len(text) < 60_000


def test_it_takes_actions_in_float64_and_refuses_those_out_of_bounds(environment: HostedEnvironment) -> None:
    spaces = environment.spaces()
    space, seen = spaces["action_space"], build_space(spaces["observation_space"])
    assert seen.contains(environment.reset(1)[0])
    for action in (np.asarray(space["high"], np.float64), np.asarray(space["low"], np.float64).tolist()):
        step = environment.step(action)
        assert seen.contains(step.observation)
        assert (step.reward, step.truncated) == (-1.0, False)
    for wrong in (space["high"] + 1, np.full_like(space["high"], np.nan), space["high"][1:], "up", None):
        with pytest.raises(InvalidAction):
            environment.step(wrong)


def test_it_takes_back_its_own_states(environment: HostedEnvironment) -> None:
    assert_faithful(environment, environment, Draw(seed=4, before=3, after=2, first=11))
