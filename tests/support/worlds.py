"""KinDER's environments in their own interpreter, for tests that need the engines."""

from __future__ import annotations

from typing import Any

import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments.factory import available
from harness.environments.interpreters import WORLDS
from harness.environments.kinder_ids import CLASSES, ids_of

MAX_STEPS = 200


def world(kinder_id: str) -> EnvironmentConf:
    """Return the configuration of an environment. Skip the test if its engine does not work here, and say why."""
    conf = EnvironmentConf("world", "kinder", {"id": kinder_id}, MAX_STEPS, interpreter=WORLDS, start_s=300, call_s=60)
    if reason := available(conf):
        pytest.skip(reason)
    return conf


def first_ids() -> list[str]:
    """Return one id of each class."""
    return [ids_of(name)[0] for name in CLASSES]


def every_id() -> list[Any]:
    """Return all ids as parameters: the first of each class for `make worlds`, the others for the nightly run."""
    return [
        pytest.param(kinder_id, marks=pytest.mark.worlds if number == 0 else pytest.mark.nightly, id=kinder_id)
        for name in CLASSES
        for number, kinder_id in enumerate(ids_of(name))
    ]
