"""Grades one program in one environment, without pytest and without an agent. It leaves a run as pytest does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from harness import hosting, pipeline
from harness.case import Case
from harness.case_folder import CaseFolder
from harness.commit import commit_of
from harness.conf_path import ConfPath
from harness.endings import CaseEnded, Ending, explain
from harness.evaluation.policy_python import python_of_programs
from harness.evaluation.program import GivenProgram
from harness.grading import Score
from harness.live.line import Live
from harness.packaged import checkout, harness_version
from harness.results import history
from harness.results.begun import Begun, write_begun
from harness.results.history_index import HistoryError
from harness.results.record import Record
from harness.results.record_builder import Origin, RecordBuilder
from harness.results.run_folder import run_name
from harness.results.sealing import seal_run
from harness.results.store import RunStore, finish_killed
from harness.results.withheld import withhold_secrets, without_secrets
from harness.sandbox.base import BoundedSandbox, Bounds
from harness.sandbox.cgroup import parents, sweep
from harness.sandbox.dirs import SandboxDirs
from harness.secrecy.known import host_secrets
from harness.seed_key import PUBLIC, private_key
from harness.suite.composition import composition
from harness.suite.config import GRADE, Config, load_providers, load_to_grade
from harness.suite.no_agent import case_to_grade


class GradeOrder(Struct, frozen=True, kw_only=True):
    """What is to be graded, and how. `given` is what the user calls the program, and `settings` are Hydra overrides.

    `runs` is the folder in which the run is kept. `root` is the project's root folder.
    """

    program: GivenProgram
    given: str
    environment: str
    settings: Sequence[str]
    root: Path
    runs: Path


class GradedRun:
    """A run that grades one program. Making one checks the configuration, and raises `ConfError` if it is wrong."""

    def __init__(self, order: GradeOrder) -> None:
        self._order = order
        self._conf = ConfPath.of(order.root)
        self.config: Config = load_to_grade(self._conf, order.environment, order.settings)
        self.case: Case = case_to_grade(self.config)
        self._key = private_key() or PUBLIC
        self.folder = order.runs.absolute() / run_name(GRADE)
        self.faults: list[str] = []

    def grade(self, live: Live) -> Record:
        """Grade the program, and return its record, which is kept in the run's folder.

        The record tells what failed in the environment or the sandbox. Raise `OSError` if the folder cannot be written.
        """
        hosting.begin(self.case.environment)  # it imports its packages meanwhile
        with suppress(OSError, ValueError):  # the other run is not in the way of this one
            self.faults += finish_killed(self.folder.parent, self._secrets)
        store = RunStore(self.folder)
        self._begin(store)
        builder = RecordBuilder(self.case, CaseFolder(self.folder / self.case.id), self._origin)
        try:
            with builder.timed("total_s"):
                outcome = self._outcome(builder, live)
        except BaseException as error:
            ending, why, complete = explain(error)
            builder.end(ending, self._conf.located(why))
            self._record(store, builder, "error")
            if complete and isinstance(error, Exception):
                return store.records[-1]
            raise
        self._record(store, builder, outcome)
        return store.records[-1]

    def _outcome(self, builder: RecordBuilder, live: Live) -> str:
        missing = pipeline.missing_package(self.case)
        if missing is not None:
            builder.end(Ending.UNAVAILABLE, missing)
            return "skipped"
        score = self._score(builder, live)
        return "passed" if score.solve_rate >= self.case.environment.pass_solve_rate else "failed"

    def _score(self, builder: RecordBuilder, live: Live) -> Score:
        sandbox = pipeline.prove(self.case.sandbox)
        hidden = pipeline.hidden_from(self.case.environment, self._order.program.entry.python)
        dirs = SandboxDirs(BoundedSandbox(sandbox, Bounds.of(self.case.limits), hidden), builder.folder)
        program = self._order.program
        python = program.entry.python or python_of_programs(self.case.environment)
        program = replace(program, entry=replace(program.entry, python=python))
        submission = pipeline.given_submission(builder, program, "proctor grade")
        if submission.reason is not None:
            raise CaseEnded(Ending.UNAVAILABLE, submission.reason)
        with closing(pipeline.make_environment(self.case)) as environment:
            return pipeline.grade(builder, environment, dirs, submission, live, self._key)

    def _begin(self, store: RunStore) -> None:
        configuration = composition(self.config.suite, [self.case], self._conf)
        options = {"--environment": [self._order.environment], "--set": list(self._order.settings)}
        begun = Begun(options=options, configuration={**configuration, "seed_key": [self._key.digest]})
        write_begun(self.folder, begun)
        store.begin([self.case.id])

    def _record(self, store: RunStore, builder: RecordBuilder, outcome: str) -> None:
        """Write the record, and end the run."""
        withhold_secrets(builder, self._secrets)
        builder.folder.seal()
        store.append(without_secrets(builder.record(outcome), self._secrets))
        store.end()
        self.faults += seal_run(self.folder, self._secrets)
        sweep(parents())
        try:
            history.refresh(self.folder.parent)
        except (HistoryError, OSError) as error:
            self.faults.append(f"cannot update the history: {error}")

    @cached_property
    def _secrets(self) -> dict[str, str]:
        providers = load_providers(self._conf)
        return host_secrets(providers.values())

    @cached_property
    def _origin(self) -> Origin:
        checked_out = checkout()
        return Origin(
            harness=harness_version(),
            harness_commit=None if checked_out is None else commit_of(checked_out),
            project_commit=commit_of(self._order.root),
            overrides=list(self._order.settings),
            options=[f"--environment={self._order.environment}", f"--submission={self._order.given}"],
        )
