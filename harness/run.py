"""The run of this pytest session: its configuration, its cases and its folder. Each is made when first asked for."""

from __future__ import annotations

import gc
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.case import Case
from harness.conf_path import ConfPath
from harness.lazy import LazyModule
from harness.live.line import Live, LiveLine
from harness.packaged import harness_version
from harness.results.store import RunStore
from harness.results.times import Times
from harness.suite.shard import Shard, shard

if TYPE_CHECKING:
    from harness.suite import config as configuration
    from harness.suite import matrix
else:  # Hydra takes 0.2 s to import, which a session without cases need not pay
    configuration = LazyModule("harness.suite.config")
    matrix = LazyModule("harness.suite.matrix")


class Run:
    """What the hooks and fixtures of one pytest process share.

    `root` is the project's root folder; `folder` is where the run's files go; `part` of the suite is run, or all of
    it; `live` shows progress.
    """

    def __init__(self, root: Path, suite: str, settings: list[str], folder: Path, part: Shard | None = None) -> None:
        self.conf = ConfPath.of(root)
        self.suite = suite
        self.settings = settings
        self.store = RunStore(folder)
        self.part = part
        self.live: Live = LiveLine(None)

    @property
    def folder(self) -> Path:
        """The folder of this run; it exists once something was written."""
        return self.store.run

    @cached_property
    def config(self) -> configuration.Config:
        """The configuration, composed by Hydra. Raises `ConfError`."""
        return configuration.load(self.conf, self.suite, self.settings)

    @cached_property
    def cases(self) -> list[Case]:
        """The cases of the suite, or of the part of it that is run. Raises `ConfError`."""
        cases = matrix.cases(self.config)
        if self.part is not None:
            cases = shard(cases, self.part)
        gc.freeze()  # what Hydra and the cases hold stays: no collection need walk it again for each case collected
        return cases

    @cached_property
    def times(self) -> Times:
        """How long cases took in the earlier runs beside this one."""
        return Times.of_runs(self.folder.parent)

    @cached_property
    def version(self) -> str:
        """The version of Proctor itself."""
        return harness_version()
