"""Our own policies solve at least one environment of each family with 3D engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.environments.factory import available
from harness.suite.config import load_environments
from tests.support.policies import solved
from tests.support.project import CONF

FAMILIES = {
    "basemotion3d": "kinematic3d",
    "vegamotion3d": "kinematic3dv2",
    "limbrepositioning3d_isolated_left_arm": "dynamic3d with PyBullet",
    "dynamo3d_generalized": "dynamic3d with MuJoCo",
    "obstruction3d_generalized": "kinematic3d",
    "packing3d_generalized": "kinematic3d",
    "shelf3d_generalized": "kinematic3d",
    "table3d_generalized": "kinematic3d",
    "transport3d_generalized": "kinematic3d",
}
"""The environments that our policies solve, and the family of each."""

pytestmark = [pytest.mark.worlds, pytest.mark.nightly]


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_solved(tmp_path: Path, name: str) -> None:
    conf = load_environments(CONF)[name]
    if reason := available(conf):
        pytest.skip(reason)
    assert solved(tmp_path, conf, 20) >= 19
