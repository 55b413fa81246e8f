"""The record of a case while the case is running. Each stage of the case adds to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.case import Case, Score
from harness.case_folder import CaseFolder
from harness.endings import ENDINGS, Ending
from harness.results.record import Attempt, CaseNames, CaseUsage, Difference, Record, Timing, Versions


class RecordBuilder:
    """Collects the record of one case. `record` makes the published form.

    A new builder stands for a harness error, so a case that stops half-way never looks finished. `recorded` is true
    once `record` has been called.
    """

    def __init__(self, case: Case, folder: CaseFolder, harness_version: str) -> None:
        self.case = case
        self.folder = folder
        self.ending = Ending.HARNESS_ERROR
        self.explanation = "the case stopped before its end"
        self.score: Score | None = None
        self.usage = CaseUsage()
        self.attempts: list[Attempt] = []
        self.differences: list[Difference] = []
        self.seeds_digest: str | None = None
        self.submission: dict[str, Any] | None = None
        self.mcp_servers: dict[str, str] = {}
        self.unknown_events = 0
        self.unknown_sample: dict[str, Any] | None = None
        self.malformed_lines = 0
        self.malformed_sample: dict[str, Any] | None = None
        self.warnings = case.doubts
        self.timing: dict[str, float | None] = {}
        self.recorded = False
        self.versions: dict[str, str | None] = {"harness": harness_version}

    def end(self, ending: Ending, why: str) -> None:
        """Set how the case ended and why. A later call replaces both."""
        self.ending, self.explanation = ending, why

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds spent inside the context to a stage of `Timing`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.timing[stage] = (self.timing.get(stage) or 0.0) + time.monotonic() - began

    def record(self, outcome: str) -> Record:
        """Return the record as it stands, with the outcome that pytest reports."""
        case = self.case
        self.recorded = True
        timing = {stage: seconds if seconds is None else round(seconds, 3) for stage, seconds in self.timing.items()}
        return Record(
            case=CaseNames(
                id=case.id,
                backend=case.backend.name,
                model=case.model.name,
                provider=case.provider.name,
                environment=case.environment.name,
                replicate=case.replicate,
            ),
            scripted=case.scripted,
            ending=self.ending,
            cause=ENDINGS[self.ending].cause,
            outcome=outcome,
            explanation=self.explanation,
            score=self.score,
            usage=self.usage,
            differences=self.differences,
            limits=case.limits,
            timing=Timing(**timing),
            versions=Versions(**self.versions),  # type: ignore[arg-type]  # its keys are the fields of Versions
            attempts=self.attempts,
            seeds_digest=self.seeds_digest,
            submission=self.submission,
            mcp_servers=self.mcp_servers,
            unknown_events=self.unknown_events,
            unknown_sample=self.unknown_sample,
            malformed_lines=self.malformed_lines,
            malformed_sample=self.malformed_sample,
            warnings=self.warnings,
            artifacts=self.folder.path.name if self.folder.path.exists() else None,
        )
