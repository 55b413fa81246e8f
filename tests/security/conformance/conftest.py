"""The suite needs an image and a Docker daemon. It starts a daemon of its own, and ends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.docker_daemon import docker_daemon


@pytest.fixture(scope="session", autouse=True)
def daemon() -> Iterator[None]:
    with docker_daemon() as address, pytest.MonkeyPatch.context() as patch:
        if address is not None:
            patch.setenv("DOCKER_HOST", address)
        yield
