"""The suite needs an image and a Docker daemon. It starts a daemon of its own, and ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_daemon import docker_daemon
from tests.support.ordinary_user import command_of_an_ordinary_user

SWEEP = """
from harness.sandbox.podman import own_podman
from harness.temporary import sweep
sweep("docker")
own_podman()
"""


@pytest.fixture(scope="session", autouse=True)
def daemon() -> Iterator[None]:
    with docker_daemon() as address, pytest.MonkeyPatch.context() as patch:
        if address is not None:
            patch.setenv("DOCKER_HOST", address)
        yield
        subprocess.run(  # the processes that act as the ordinary user end at once, and leave folders to the next start
            command_of_an_ordinary_user([sys.executable, "-c", SWEEP]),
            cwd=Path(__file__).parents[3],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            check=False,
        )
