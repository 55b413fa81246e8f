"""The run of a pytest session: its configuration, its cases and its folder. Each is made on first use."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path

from msgspec import Struct

from harness.case import Case
from harness.commit import commit_of
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.models.checks import check_budgets, check_prices
from harness.options import CommandLine
from harness.packaged import checkout, harness_version
from harness.results.record import PlannedReplicates
from harness.results.record_builder import Origin
from harness.sandbox.factory import require_limits
from harness.secrecy.known import host_secrets
from harness.seed_key import PUBLIC, SeedKey, key_file, private_key
from harness.suite import config as configuration
from harness.suite import known_failures, matrix
from harness.suite.choice import Choice, choose, require_known
from harness.suite.no_agent import without_agent
from harness.suite.replicates import asks_for_looks, looks_at, require_free_names
from harness.suite.scripts import require_scripts
from harness.suite.shard import Shard, shard
from harness.verdict.rules import Looks


class Nothing(Struct, frozen=True):
    """Why a run has no cases. `mistake` is true if the suite or the shard must be wrong."""

    reason: str
    mistake: bool


class Run:
    """One run of a suite, or of a part of it.

    `root` is the project's root folder. `folder` is the folder for the run's files. It exists once the first file is
    written. `given` names the suite and changes the configuration. `choice` and `part` say which cases of the suite are
    run. `only` has the ids of these cases, if a launched run has planned them.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        given: CommandLine,
        choice: Choice,
        part: Shard | None = None,
        only: Container[str] | None = None,
    ) -> None:
        self.conf = ConfPath.of(root)
        self.suite = given.suite_name
        self.folder = folder
        self.given = given
        self.choice = choice
        self.part = part
        self._only = only

    @cached_property
    def config(self) -> configuration.Config:
        """The configuration, composed by Hydra. Raise `ConfError` if it is wrong."""
        return configuration.load(self.conf, self.suite, self.given.settings, self.given.environments)

    @cached_property
    def cases(self) -> list[Case]:
        """The cases of this run. Raise `ConfError` if the configuration is wrong, or a required limit does not hold."""
        if self.given.require_limits:
            require_limits(self.config.sandbox)
        chosen = self._chosen if self._only is None else [case for case in self._chosen if case.id in self._only]
        return self._marked(chosen if self.part is None else shard(chosen, self.part))

    @property
    def all_of_suite(self) -> list[Case]:
        """The cases that this run would have without a selection. Raise `ConfError` if the configuration is wrong."""
        every = self._suite_cases
        return every if self.given.submission is None else without_agent(every, self.config.suite.replicates)

    @cached_property
    def looks(self) -> Looks | None:
        """How cases get further replicates, or `None` if the number is fixed. Raise `ConfError` if that cannot work."""
        if not asks_for_looks(self.given):
            return None
        require_free_names(self._suite_cases, self.suite)
        return looks_at(self.config.suite, self.given.max_replicates)

    @cached_property
    def nothing(self) -> Nothing | None:
        """Why there are no cases, or `None` if there are some. Raise `ConfError` if the configuration is wrong."""
        if self.cases:
            return None
        if not self._suite_cases:
            reason = f"conf/suite/{self.suite}.yaml: suite.exclude leaves no case of suite {self.suite}"
            return Nothing(self.conf.located(reason), mistake=True)
        if not self._chosen:
            reason = f"suite {self.suite} has no case for {self.choice}: its rules in suite.exclude leave them all out"
            return Nothing(reason, mistake=False)
        cases = f"the cases of suite {self.suite}" + (f" for {self.choice}" if str(self.choice) else "")
        reason = f"shard {self.part} has none of {cases}: there are more shards than cases ({len(self._chosen)})"
        return Nothing(reason, mistake=True)

    @cached_property
    def origin(self) -> Origin:
        """What all records of this run share."""
        checked_out = checkout()
        looks = self.looks
        return Origin(
            harness=harness_version(),
            harness_commit=None if checked_out is None else commit_of(checked_out),
            project_commit=commit_of(self.conf.root),
            overrides=list(self.given.settings),
            options=list(self.given.options),
            replicates=None if looks is None else PlannedReplicates(planned=looks.first, most=looks.last),
        )

    def key_of(self, case: Case) -> SeedKey:
        """Return the key of a case's held-out seeds: the public one for a scripted case, else the private one.

        If there is no private key, raise `ConfError`. Only a case without an agent then uses the public key.
        """
        if case.scripted:
            return PUBLIC
        if self._private_key is not None:
            return self._private_key
        if not case.has_agent:
            return PUBLIC
        raise ConfError(
            f"the held-out episodes of real models derive from a private seed, and there is none for {case.id}: run "
            f"`proctor seed`, which makes {key_file()}, or set PROCTOR_SEED"
        )

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets of this host that a run may use, by names for people: the keys of providers, the private seed.

        A login may be renewed during a run, so this is read anew each time.
        """
        return host_secrets(self.config.provider.values())

    @cached_property
    def _private_key(self) -> SeedKey | None:
        return private_key()

    @cached_property
    def _suite_cases(self) -> list[Case]:
        return matrix.cases(self.config)

    @cached_property
    def _chosen(self) -> list[Case]:
        require_known(self.choice, self.config, self.conf, self._other_suites())
        chosen = choose(self._suite_cases, self.choice)
        if self.given.submission is not None:
            return without_agent(chosen, self.config.suite.replicates)
        require_scripts(chosen, self.conf)
        with self.conf.naming_files():
            check_prices(chosen)
            check_budgets(chosen)
        return chosen

    def _marked(self, cases: list[Case]) -> list[Case]:
        """Return the cases with their known failures."""
        known = known_failures.read_known(self.conf, known_failures.today())
        if not known:
            return cases
        known_failures.require_matched(known, self.conf, self._every_suite())
        return known_failures.mark_known(cases, known)

    def _every_suite(self) -> Iterator[tuple[str, Callable[[], list[Case]]]]:
        """Return each suite and how to get its cases: this one as the command line changes it, then all as written."""
        yield self.suite, lambda: _every_case(self.config)
        for suite in self.conf.choices("suite"):
            yield suite, partial(_as_written, self.conf, suite)

    def _other_suites(self) -> Iterator[tuple[str, Mapping[str, Sequence[str]]]]:
        """Yield the other suites whose files are right, with the names of each group's entries that they use."""
        for suite in self.conf.choices("suite"):
            if suite != self.suite:
                with suppress(ConfError):
                    yield suite, configuration.names_in(self.conf, suite)


def _every_case(config: configuration.Config) -> list[Case]:
    """Return the cases of a suite, and those of `--submission`."""
    cases = matrix.cases(config)
    return [*cases, *without_agent(cases, config.suite.replicates)]


def _as_written(conf: ConfPath, suite: str) -> list[Case]:
    return _every_case(configuration.load(conf, suite))
