"""Where the contract's sessions are played: among the canaries of a user who has configured every CLI.

`PROCTOR_CLI_ROOT` names another folder of installed CLIs than the pinned ones, as `make contract-latest` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.registry import backend
from tests.contracts import canaries, rich
from tests.support.sessions import PINNED, Stage


@pytest.fixture(scope="session")
def cli_root() -> Path:
    """The folder of the CLIs that are held to the contract."""
    return Path(os.environ.get("PROCTOR_CLI_ROOT", PINNED))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which sessions are played."""
    with pytest.MonkeyPatch.context() as patch:
        yield canaries.plant(tmp_path_factory.mktemp("host"), patch)


@pytest.fixture(scope="module")
def stage(cli_root: Path, sessions: Path) -> Iterator[Stage]:
    """Plays sessions."""
    with Stage(cli_root) as stage:
        yield stage


@pytest.fixture(scope="module")
def played() -> dict[str, rich.Rich]:
    """The rich sessions that were played so far."""
    return {}


@pytest.fixture(params=rich.sessions())
def session(request: pytest.FixtureRequest, played: dict[str, rich.Rich], stage: Stage, sessions: Path) -> rich.Rich:
    """The one rich session of each backend."""
    name = request.param
    if name not in played:
        played[name] = rich.play(stage, backend(name), sessions / name)
    return played[name]
