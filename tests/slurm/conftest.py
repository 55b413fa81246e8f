"""One Slurm for all tests, and a project whose suite they launch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.launched import LaunchedProject
from tests.support.slurm import SlurmCluster, missing, slurm_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[SlurmCluster]:
    """A running Slurm with four nodes."""
    if (lacking := missing()) is not None:
        pytest.fail(f"this machine lacks a Slurm: {lacking}")
    with slurm_cluster() as started:
        yield started


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory, cluster: SlurmCluster) -> LaunchedProject:
    """A project whose suite is launched in four parts. Its unbroken run is known."""
    return LaunchedProject(tmp_path_factory.mktemp("launched") / "project", cluster.variables)
