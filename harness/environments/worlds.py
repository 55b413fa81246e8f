"""Environments of KinDER that have no file in `conf/environment/`."""

from __future__ import annotations

from typing import Final

from harness.environment_conf import EnvironmentConf
from harness.environments.interpreters import WORLDS
from harness.environments.kinder_ids import require_id, short_name

_START_S: Final = 300.0
_CALL_S: Final = 120.0
"""Seconds for engines that need up to 30 s to start and 10 s for a reset, on a machine that does nothing else."""


def conf_of(kinder_id: str) -> EnvironmentConf:
    """Return the configuration of an environment of KinDER that has no file. Raise `ValueError` for an unknown id.

    An environment that needs an engine runs in the extra.
    """
    name, arguments = short_name(kinder_id), {"id": kinder_id}
    if require_id(kinder_id).engine is None:
        return EnvironmentConf(name, "kinder", arguments)
    return EnvironmentConf(name, "kinder", arguments, interpreter=WORLDS, start_s=_START_S, call_s=_CALL_S)
