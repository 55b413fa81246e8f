"""A project with the module `troubled`, whose environment gets into trouble as its arguments say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.imports import make_importable
from tests.support import troubled


@contextmanager
def troubled_project(folder: Path) -> Iterator[None]:
    """Make `folder` the root folder of such a project, so that `troubled:Troubled` is an adapter."""
    (folder / "troubled.py").write_bytes(Path(troubled.__file__).read_bytes())
    before = list(sys.path)
    make_importable(folder)
    yield
    sys.path[:] = before
