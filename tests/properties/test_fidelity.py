"""States are as faithful as the environment says: the same actions have the same results after a state is set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.environments.hosted import HostedEnvironment
from tests.support.faithful import DRAWS, Draw, assert_faithful

MAZE = {"min_size": 3, "max_size": 6}
LAKE = {"id": "FrozenLake-v1", "solved_when": "rewarded"}
CONFS = {
    "exact": EnvironmentConf("maze", "maze", MAZE, max_steps=100),
    "replay": EnvironmentConf("lake", "gymnasium", LAKE, max_steps=50),
    "exact 2D": EnvironmentConf("motion", "kinder", {"id": "kinder/Motion2D-p1-v0"}, max_steps=100),
    "exact 2D with a stick": EnvironmentConf("buttons", "kinder", {"id": "kinder/StickButton2D-b2-v0"}, max_steps=100),
}
"""Environments by how faithful their states are. `tests/worlds` has the others of KinDER."""

Pair = tuple[HostedEnvironment, HostedEnvironment]


@pytest.fixture(scope="module", params=CONFS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two environments of one kind, each in a process of its own."""
    conf = CONFS[request.param]
    if conf.kind == "kinder":
        pytest.importorskip("kinder", reason="the optional package kindergarden is not installed")
    made = make_environment(conf), make_environment(conf)
    assert made[0].state_fidelity == request.param.split()[0]
    yield made
    for environment in made:
        environment.close()


@given(draw=DRAWS)
@settings(max_examples=5)
def test_the_same_actions_have_the_same_results_after_a_state_is_set(pair: Pair, draw: Draw) -> None:
    assert_faithful(*pair, draw)
