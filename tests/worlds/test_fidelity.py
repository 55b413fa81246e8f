"""A property of each family of KinDER: the same actions have the same results after a state is set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings

from harness.environments.factory import make_environment
from harness.environments.hosted import HostedEnvironment
from tests.support.faithful import DRAWS, Draw, assert_faithful
from tests.support.worlds import world

pytestmark = pytest.mark.worlds

FAMILIES = {
    "kinder/ClutteredRetrieval2D-o10-v0": "exact",
    "kinder/DynObstruction2D-o2-v0": "replay",
    "kinder/Packing3D-p3-v0": "exact",
    "kinder/VegaPickPlace3D-v0": "exact",
    "kinder/LimbRepositioning3D-bed-left-arm-v0": "replay",
    "kinder/SweepIntoDrawer3D-o5-v0": "exact",
    "kinder/FrankaPickPlace3D-o1-v0": "exact",
}
"""An environment of each family and robot, and how faithful its states are."""

Pair = tuple[HostedEnvironment, HostedEnvironment]


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two environments of one id, each in a process of its own."""
    conf = world(request.param)
    made = make_environment(conf), make_environment(conf)
    assert made[0].state_fidelity == FAMILIES[request.param]
    yield made
    for environment in made:
        environment.close()


@given(draw=DRAWS)
@settings(max_examples=4)
def test_the_same_actions_have_the_same_results_after_a_state_is_set(pair: Pair, draw: Draw) -> None:
    assert_faithful(*pair, draw)


@pytest.fixture
def target() -> Iterator[HostedEnvironment]:
    environment = make_environment(world("kinder/BaseMotion3D-v0"))
    yield environment
    environment.close()


def test_a_target_keeps_its_height(target: HostedEnvironment) -> None:
    target.reset(3)
    state = np.asarray(target.get_state())
    assert state[-1] == pytest.approx(0.2)
    target.set_state(state)
    np.testing.assert_allclose(target.get_state(), state, atol=1e-12)


@pytest.fixture
def simulated() -> Iterator[HostedEnvironment]:
    environment = make_environment(world("kinder/PickPlace3D-o1-v0"))
    yield environment
    environment.close()


def test_a_state_of_mujoco_that_no_agent_may_set_is_refused(simulated: HostedEnvironment) -> None:
    simulated.reset(2)
    state = simulated.get_state()
    size, wrong = len(state["state"]), np.full(len(state["state"]), np.nan)
    for made_up, said in (
        ({**state, "seed": 10_000}, "the seed of a state must be a whole number from 0 to 9999"),
        ({**state, "seed": 2.0}, "the seed of a state must be a whole number"),
        ({**state, "state": state["state"][1:]}, f"a list of {size} finite numbers"),
        ({**state, "state": wrong}, f"a list of {size} finite numbers"),
        ({**state, "state": np.full(size, 1e10)}, "number 0 of a state must lie in"),
        ({**state, "actions": []}, "exactly the keys seed, state"),
        ([1.0], "exactly the keys seed, state"),
    ):
        with pytest.raises(ValueError, match=said):
            simulated.set_state(made_up)
    simulated.set_state(state)
