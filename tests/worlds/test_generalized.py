"""The generalized environments: each can be made, played and drawn at every number of objects, and keeps its states."""

from __future__ import annotations

from contextlib import closing

import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments.exploring import fixed_action
from harness.environments.factory import available, make_environment
from harness.environments.object_centric import build_space
from harness.suite.config import load_environments
from tests.support.faithful import Draw, assert_faithful
from tests.support.project import CONF

GENERALIZED = [conf for name, conf in load_environments(CONF).items() if name.endswith("_generalized")]
LIMIT_S = 300.0

pytestmark = pytest.mark.worlds


@pytest.fixture(params=GENERALIZED, ids=lambda conf: conf.name)
def conf(request: pytest.FixtureRequest) -> EnvironmentConf:
    conf: EnvironmentConf = request.param
    if reason := available(conf):
        pytest.skip(reason)
    return conf


def test_it_can_be_played_and_drawn_at_every_number(conf: EnvironmentConf) -> None:
    assert conf.counts is not None
    design, held_out = conf.counts.design, conf.counts.held_out
    seen: dict[int, int] = {}
    with closing(make_environment(conf)) as environment, closing(environment.another()) as process:
        spaces = environment.spaces()
        space = build_space(spaces["observation_space"])
        for count in (*design, *held_out):
            told = {"seed": 1, "count": count}
            begun = process.ask("run", "harness.evaluation.replaying:begin", told, limit=LIMIT_S)
            state = space.from_plain(begun["observation"])
            seen[count] = len(state.data)
            step = process.ask("step", fixed_action(spaces["action_space"], 1), limit=LIMIT_S)
            assert space.from_plain(step[0]).data.keys() == state.data.keys()
            picture = process.ask("render", limit=LIMIT_S)
            assert picture.ndim == 3
            assert picture.std() > 1
    assert held_out
    assert len(set(seen.values())) == len(seen), "each number has a number of objects of its own"


def test_its_description_names_the_design_numbers_and_its_states_are_faithful(conf: EnvironmentConf) -> None:
    assert conf.counts is not None
    with closing(make_environment(conf)) as environment, closing(make_environment(conf)) as other:
        assert f"numbers: {', '.join(map(str, conf.counts.design))}. Seeds 0, 1" in environment.describe()
        assert environment.state_fidelity in {"exact", "replay"}
        assert_faithful(environment, other, Draw(seed=4, before=3, after=2, first=0))
