"""Whether an environment can be drawn on this machine."""

from __future__ import annotations

import msgspec

from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment
from harness.environments.drawing import drawing_fault
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed

_tried: dict[bytes, str | None] = {}


def render_fault(conf: EnvironmentConf, environment: Environment) -> str | None:
    """Return why an environment cannot be drawn here and what to do about it, or `None` if it can be drawn.

    The first call of a process for a kind and its arguments draws the first state of seed 0. Later calls return the
    same.
    """
    key = msgspec.json.encode([conf.kind, conf.arguments, conf.interpreter])
    if key not in _tried:
        _tried[key] = _try(environment)
    return _tried[key]


def _try(environment: Environment) -> str | None:
    if not isinstance(environment, HostedEnvironment):
        return drawing_fault(environment)
    try:
        fault = environment.run("harness.environments.drawing:drawing_fault")
    except EnvironmentFailed as error:
        return " ".join(str(error).split())
    return None if fault is None else str(fault)
