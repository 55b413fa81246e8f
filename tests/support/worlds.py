"""KinDER's environments in their own interpreter, for tests that need the engines."""

from __future__ import annotations

from typing import Any

import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments.factory import available
from harness.environments.kinder_ids import CLASSES, ids_of
from harness.environments.worlds import conf_of


def world(kinder_id: str) -> EnvironmentConf:
    """Return the configuration of an environment. Skip the test if its engine does not work here, and say why."""
    conf = conf_of(kinder_id)
    if reason := available(conf):
        pytest.skip(reason)
    return conf


def every_id() -> list[Any]:
    """Return all ids as parameters: the first of each class for `make worlds`, the others for the nightly run."""
    return [
        pytest.param(kinder_id, marks=[pytest.mark.nightly] if number else [], id=kinder_id)
        for name in CLASSES
        for number, kinder_id in enumerate(ids_of(name))
    ]
