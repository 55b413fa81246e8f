"""The page in Chromium. `make page` installs what these tests need. In every other session, this folder is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.page.chromium import Chromium
from tests.page.real_run import real_run

collect_ignore_glob = [] if find_spec("playwright") else ["*"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Return Debian's Chromium."""
    with Chromium.started() as started:
        yield started


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of every backend. `PROCTOR_PAGE_RUN` names one that is there, which saves minutes."""
    there = os.environ.get("PROCTOR_PAGE_RUN")
    return Path(there) if there else real_run(tmp_path_factory.mktemp("real") / "project")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for screenshots, which `PROCTOR_PAGE_PICTURES` may name."""
    named = os.environ.get("PROCTOR_PAGE_PICTURES")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
