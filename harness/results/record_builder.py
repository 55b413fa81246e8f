"""The record of a case while the case is running. Each stage of the case adds to it."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from backends.events import Usage
from harness.case import Case
from harness.case_folder import CaseFolder
from harness.endings import ENDINGS, Ending
from harness.environment_conf import EnvironmentConf
from harness.grading import Score
from harness.results.conditions import Circumstances, with_conditions
from harness.results.drafts import write_draft
from harness.results.earlier import earlier_sessions
from harness.results.record import (
    Attempt,
    CandidateTried,
    CaseNames,
    CaseUsage,
    Difference,
    Digests,
    HistoryPoint,
    InstanceRecord,
    PlannedReplicates,
    Record,
    Timing,
    Versions,
)
from harness.results.usage import added
from harness.telemetry import Telemetry
from harness.visible import visible, visible_struct


class Origin(Struct, frozen=True, kw_only=True):
    """What all records of a run share: the version of Proctor, the commits, and what the command line chose.

    `replicates` is null if the number of replicates is fixed.
    """

    harness: str
    harness_commit: str | None = None
    project_commit: str | None = None
    overrides: list[str] = []
    options: list[str] = []
    replicates: PlannedReplicates | None = None


WORST_FIRST = ("error", "failed", "passed", "skipped")
"""The outcomes of a test, the worst first."""


class RecordBuilder:
    """Collects the record of one case. `record` makes the published form.

    A new builder stands for a harness error, so a case that stops half-way never looks finished. `recorded` is true
    once the outcome of the case is known and its record has been handed over. `session` is the name of the folder of
    the session's first try, and `try_number` counts the tries. `earlier` are sessions that this one repeats, because
    they were killed or ended with an error.
    """

    def __init__(
        self, case: Case, folder: CaseFolder, origin: Origin, *, session: str = "", try_number: int = 1
    ) -> None:
        self.case = case
        self.folder = folder
        self.session = session or folder.path.name
        self.try_number = try_number
        self.origin = origin
        self.started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.ending = Ending.HARNESS_ERROR
        self.explanation = "the case stopped before its end"
        self.score: Score | None = None
        self.usage = CaseUsage()
        self.digests = Digests()
        self.state_fidelity: str | None = None
        self.circumstances = Circumstances(python=platform.python_version())
        self.usage_by_model: dict[str, Usage] = {}
        self.compactions = 0
        self.denials = 0
        self.attempts: list[Attempt] = []
        self.earlier = earlier_sessions(folder)
        self.differences: list[Difference] = []
        self.seed_key: str | None = None
        self.seeds_digest: str | None = None
        self.counts_digest: str | None = None
        self.submission: dict[str, Any] | None = None
        self.agent: str | None = None
        self.candidates: list[CandidateTried] = []
        self.instances: list[InstanceRecord] = []
        self.history: list[HistoryPoint] = []
        self.mcp_servers: dict[str, str] = {}
        self.unknown_events = 0
        self.unknown_sample: dict[str, Any] | None = None
        self.malformed_lines = 0
        self.malformed_sample: dict[str, Any] | None = None
        self.warnings = case.doubts
        self.played_from: str | None = None
        self.sealing: dict[str, list[str]] = {}
        self.timing: dict[str, float | None] = {}
        self.telemetry: Telemetry | None = None
        self.outcome: str | None = None
        self.tests: dict[str, str] = {}
        self.failures: list[str] = []
        self.recorded = False
        self._timed: set[str] = set()
        self.versions: dict[str, str | None] = {
            "harness": origin.harness,
            "harness_commit": origin.harness_commit,
            "project_commit": origin.project_commit,
        }

    def end(self, ending: Ending, why: str) -> None:
        """Set how the case ended and why. A later call replaces both."""
        self.ending, self.explanation = ending, visible(why)

    def learn(self, **found: object) -> None:
        """Note conditions that have become known: fields of `Circumstances`."""
        self.circumstances = msgspec.structs.replace(self.circumstances, **found)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds spent inside the context to a stage of `Timing`. The same stage inside it is not added."""
        if stage in self._timed:
            yield
            return
        self._timed.add(stage)
        began = time.monotonic()
        try:
            yield
        finally:
            self._timed.remove(stage)
            self.timing[stage] = (self.timing.get(stage) or 0.0) + time.monotonic() - began

    def save(self) -> None:
        """Write a draft of the record. It counts if this process is killed before the outcome of the case is known.

        A draft that cannot be written is left out, since the record itself may still be.
        """
        ended = f" ({self.attempts[-1].ending}: {self.attempts[-1].explanation})" if self.attempts else ""
        why = f"its process was killed {'after' if ended else 'in'} the agent's session{ended}"
        with suppress(OSError):
            write_draft(
                self.folder,
                visible_struct(
                    msgspec.structs.replace(
                        self._as_it_stands("error"),
                        ending=Ending.INTERRUPTED,
                        cause=ENDINGS[Ending.INTERRUPTED].cause,
                        explanation=why,
                    )
                ),
            )

    def record(self, outcome: str, test: str | None = None) -> Record:
        """Return the record as it stands. `outcome` is what pytest reports of a test, and `test` is the test's id.

        The record has the worst outcome of all its tests. `failures` say why some of them failed.
        """
        if test is not None:
            self.tests[test] = outcome
        self.outcome = outcome if self.outcome is None else min(outcome, self.outcome, key=WORST_FIRST.index)
        return visible_struct(self._as_it_stands(self.outcome))

    def _as_it_stands(self, outcome: str) -> Record:
        case = self.case
        why = "; ".join(dict.fromkeys(self.failures)) if outcome == "failed" else ""
        timing = {stage: seconds if seconds is None else round(seconds, 3) for stage, seconds in self.timing.items()}
        record = Record(
            **_of_case(case),
            replicates=self.origin.replicates,
            session=self.session,
            try_number=self.try_number,
            started_at=self.started_at,
            overrides=self.origin.overrides,
            options=self.origin.options,
            played_from=self.played_from,
            ending=self.ending,
            cause=ENDINGS[self.ending].cause,
            outcome=outcome,
            tests=dict(self.tests),
            explanation=why or self.explanation,
            score=self.score,
            usage=added([self.usage, *(session.usage for session in self.earlier)]) if self.earlier else self.usage,
            usage_by_model=self.usage_by_model,
            compactions=self.compactions,
            denials=self.denials,
            differences=self.differences,
            state_fidelity=self.state_fidelity,
            timing=Timing(**timing),
            telemetry=self.telemetry,
            versions=Versions(**self.versions),  # type: ignore[arg-type]  # its keys are the fields of Versions
            digests=self.digests,
            attempts=self.attempts,
            earlier=self.earlier,
            seed_key=self.seed_key,
            seeds_digest=self.seeds_digest,
            counts_digest=self.counts_digest,
            submission=self.submission,
            **self._of_baselines(),
            mcp_servers=self.mcp_servers,
            unknown_events=self.unknown_events,
            unknown_sample=self.unknown_sample,
            malformed_lines=self.malformed_lines,
            malformed_sample=self.malformed_sample,
            warnings=self.warnings,
            **self.sealing,  # type: ignore[arg-type]  # its keys are fields of the record
            artifacts=self.folder.path.name if self.folder.path.exists() else None,
        )
        return with_conditions(record, case, self.circumstances)

    def _of_baselines(self) -> dict[str, Any]:
        return {
            "agent": self.agent,
            "candidates": self.candidates,
            "instances": self.instances,
            "history": self.history,
        }


def _of_case(case: Case) -> dict[str, Any]:
    """Return the fields of a record that the case itself tells."""
    return {
        "case": _names(case),
        "scripted": case.scripted,
        "translated": case.translated,
        "known_failure": case.known_failure,
        "limits": case.limits,
        **_of_environment(case.environment),
    }


def _of_environment(conf: EnvironmentConf) -> dict[str, Any]:
    """Return what the record keeps of an environment's configuration: not the numbers of objects that are held out."""
    told = None if conf.counts is None else msgspec.structs.asdict(conf.counts)
    return {
        "pass_solve_rate": conf.pass_solve_rate,
        "solved_when": conf.solved_when,
        "max_steps": conf.max_steps,
        "environment_arguments": conf.arguments,
        "counts": told and {name: value for name, value in told.items() if name != "held_out"},
        "visibility": conf.visibility,
    }


def _names(case: Case) -> CaseNames:
    return CaseNames(
        id=case.id,
        backend=case.backend.name,
        model=case.model.name,
        provider=case.provider.name,
        environment=case.environment.name,
        replicate=case.replicate,
    )
