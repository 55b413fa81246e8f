"""Environments for tests: a maze in a process of its own, and any environment in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment
from harness.environments.factory import adapter_path, described, make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.making import make


@contextmanager
def hosted_maze(min_size: int, max_size: int, max_steps: int) -> Iterator[HostedEnvironment]:
    conf = EnvironmentConf("maze", "maze", {"min_size": min_size, "max_size": max_size}, max_steps)
    with closing(make_environment(conf)) as environment:
        yield environment


def made_here(conf: EnvironmentConf) -> Environment:
    """Return an environment that runs in this process, for tests of its adapter."""
    return make(described(conf), adapter_path(conf))
