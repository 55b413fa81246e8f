"""What the statistics need of a record: one `Trial` for each replicate of a case in a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from harness.case import NO_MODEL
from harness.results.record import Record, UsageTotals
from harness.results.usage import own_usage

Conditions = Mapping[str, str | None]


class CaseKey(Struct, frozen=True, order=True):
    """A case without its replicate: what two runs have in common."""

    backend: str
    model: str
    environment: str

    def __str__(self) -> str:
        if self.model == NO_MODEL:
            return f"{self.backend}-{self.environment}"
        return f"{self.backend}-{self.model}-{self.environment}"


class Measure(StrEnum):
    """What a trial can be compared by. More is better for the solve rate, and worse for the others."""

    SOLVE_RATE = "solve_rate"
    COST = "cost_usd"
    TURNS = "turns"
    TOKENS = "tokens"
    SECONDS = "seconds"


class Trial(Struct, frozen=True, kw_only=True):
    """One replicate of a case in one run. It yields one program, and the program is the unit of every statistic.

    `solve_rate` is null if nothing was graded: an infrastructure ending, or a case that was skipped. Such a trial is
    missing data. `ending` says why. `solved` has one flag for each held-out episode, in the order of the seeds; it is
    null if the flags are not known. `added` says that the replicate was not planned: the case got it because it was
    undecided. `fixed` says that the program does not vary between replicates, because the model's answers were written
    beforehand, or because no agent ran. `program` is the digest of the submission, and `seeds` that of
    the held-out seeds.
    """

    key: CaseKey
    run: str
    replicate: int
    ending: str
    solve_rate: float | None
    episodes: int
    solved: tuple[bool, ...] | None = None
    added: bool = False
    passed: bool = False
    fixed: bool = False
    program: str | None = None
    seeds: str | None = None
    cost_usd: float | None = None
    turns: float | None = None
    tokens: float | None = None
    seconds: float | None = None
    conditions: Conditions = {}

    @property
    def missing(self) -> bool:
        """Whether nothing was graded, so that this trial says nothing about the agent."""
        return self.solve_rate is None

    def value(self, measure: Measure) -> float | None:
        """Return what this trial measured. Return null if it is missing or if the measurement is not known."""
        return None if self.missing else getattr(self, measure)


def trial_of(record: Record, *, run: str, conditions: Conditions, solved: Sequence[bool] | None = None) -> Trial:
    """Return what the statistics need of a record.

    `run` names the run that the record is from. `solved` says of each held-out episode, in order, whether it was
    solved (`episodes.jsonl`). `conditions` are what the result depends on, by name. Usage is what the gateway metered.
    If the gateway metered nothing, it is what the CLI reported. Earlier sessions of the case, which were killed or
    ended with an error, are left out.
    """
    case, score, submission = record.case, record.score, record.submission or {}
    used = own_usage(record)
    usage = used.metered or used.reported
    digest = submission.get("digest")
    return Trial(
        key=CaseKey(case.backend, case.model, case.environment),
        run=run,
        replicate=case.replicate,
        ending=str(record.ending),
        solve_rate=score.solve_rate if score else None,
        episodes=score.episodes if score else 0,
        solved=tuple(solved) if score and solved is not None and len(solved) == score.episodes else None,
        added=record.replicates is not None and case.replicate > record.replicates.planned,
        passed=record.outcome == "passed",
        fixed=record.scripted or not case.has_agent,
        program=digest if isinstance(digest, str) else None,
        seeds=record.seeds_digest,
        cost_usd=usage.cost_usd if usage else None,
        turns=usage.turns if usage else None,
        tokens=_tokens(usage),
        seconds=record.timing.agent_s,
        conditions=dict(conditions),
    )


def by_case(trials: Iterable[Trial]) -> dict[CaseKey, list[Trial]]:
    """Return the trials of each case, ordered by run and replicate. The cases are in the order of their names."""
    found = defaultdict[CaseKey, list[Trial]](list)
    for trial in sorted(trials, key=lambda one: (one.key, one.run, one.replicate)):
        found[trial.key].append(trial)
    return dict(found)


def graded(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials that were graded."""
    return [trial for trial in trials if not trial.missing]


def filled(trials: Sequence[Trial], missing: float) -> float:
    """Return the mean solve rate if each missing trial had this one."""
    return sum(missing if trial.solve_rate is None else trial.solve_rate for trial in trials) / len(trials)


def values(trials: Iterable[Trial], measure: Measure) -> list[float]:
    """Return what the trials measured, without the trials that did not."""
    return [value for trial in trials if (value := trial.value(measure)) is not None]


def _tokens(usage: UsageTotals | None) -> float | None:
    """Return all tokens that went in and out. Return null if input or output is not known."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return usage.input_tokens + usage.output_tokens + (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
