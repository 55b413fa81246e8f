"""Fixtures of the contract: its sessions run among the canaries of a user who has configured every CLI.

`make contract-latest` sets `PROCTOR_CLIS` to test CLIs in another folder than the pinned ones. `make translate`
sets `PROCTOR_UPSTREAM` to test them with a model that speaks only this wire.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.registry import backend
from tests.contracts import canaries, rich
from tests.support.sessions import Stage


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a session on one worker.

    pytest-xdist tells its scheduler the group of a test by a suffix of the test's id. Since pytest 9.2, xdist 3.8 sets
    the suffix in vain: see its issue 1386.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        for mark in item.iter_markers("xdist_group"):
            if not item.nodeid.endswith(suffix := f"@{mark.args[0]}"):
                item._id = item._id.parse(item.nodeid + suffix)


@pytest.fixture(scope="session")
def clis() -> Path | None:
    """The folder of the CLIs under test, or `None` for the pinned ones."""
    given = os.environ.get("PROCTOR_CLIS")
    return Path(given) if given else None


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the sessions."""
    with pytest.MonkeyPatch.context() as patch:
        yield canaries.plant(tmp_path_factory.mktemp("host"), patch)


@pytest.fixture(scope="module")
def stage(clis: Path | None, sessions: Path) -> Iterator[Stage]:
    """The stage that plays sessions."""
    with Stage(clis, os.environ.get("PROCTOR_UPSTREAM")) as stage:
        yield stage


@pytest.fixture(scope="module")
def played() -> dict[str, rich.Rich]:
    """The rich sessions played so far."""
    return {}


@pytest.fixture(params=rich.sessions())
def session(request: pytest.FixtureRequest, played: dict[str, rich.Rich], stage: Stage, sessions: Path) -> rich.Rich:
    """The one rich session of each backend."""
    name = request.param
    if name not in played:
        played[name] = rich.play(stage, backend(name), sessions / name)
    return played[name]
