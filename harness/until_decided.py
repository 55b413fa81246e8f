"""`pytest --until-decided`: asks after the planned cases, and after each round, which cases get one more replicate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from harness.further import FurtherTest, Replicates
from harness.verdict.comparison import Verdict
from harness.verdict.deciding import Advice, until_decided
from harness.verdict.gate import compare
from harness.verdict.matched import match
from harness.verdict.rules import Rules
from harness.verdict.trials import CaseKey, Measure, Trial, by_case

_UNTESTED = (Verdict.NEW, Verdict.GONE, Verdict.INCOMPARABLE)


class UntilDecided:
    """Looks at the results so far, and says what runs next.

    `base` are the trials of the baseline, and `trials` returns those of this session so far. `say` shows the user a
    line. `added` is called with the tests of each round before the round begins.
    """

    def __init__(
        self,
        base: Sequence[Trial],
        trials: Callable[[], list[Trial]],
        rules: Rules,
        replicates: Replicates,
        *,
        say: Callable[[str], None],
        added: Callable[[Sequence[FurtherTest]], None],
    ) -> None:
        self._base = base
        self._trials = trials
        self._rules = rules
        self._replicates = replicates
        self._say = say
        self._added = added
        self._looks = 0
        self._got = Counter[CaseKey]()
        self._advice: dict[CaseKey, Advice] = {}

    def next_round(self) -> list[FurtherTest]:
        """Look, and return the tests of one more replicate of each case that is worth it. Return [] if none is."""
        new = self._trials()
        before, self._advice = self._advice, {one.key: one for one in until_decided(self._base, new, self._rules)}
        wanted = [key for key, one in self._advice.items() if one.worth_it and key in self._replicates]
        self._looks += 1
        self._say(f"look {self._looks}: {self._told(new, wanted, before)}")
        self._got.update(wanted)
        last = {key: max(trial.replicate for trial in found) for key, found in by_case(new).items()}
        tests = [test for key in wanted for test in self._replicates.one_more(key, last[key])]
        if tests:
            self._added(tests)
        return tests

    def lines(self) -> list[str]:
        """Return how many replicates were added, and what they decided."""
        if not self._looks:
            return ["the session stopped before its planned cases were done: no replicate was added"]
        total = sum(self._got.values())
        told = [f"{_many(total, 'replicate')} added in {_many(self._looks, 'look')}"]
        verdicts = {
            found.name: found.verdict
            for found in (compare(self._base, self._trials(), self._rules) if total else [])
            if (found.level, found.measure) == ("case", Measure.SOLVE_RATE)
        }
        for key, count in self._got.most_common():
            verdict = verdicts.get(str(key), Verdict.INCONCLUSIVE)
            why = self._advice[key].reason if verdict is Verdict.INCONCLUSIVE and key in self._advice else ""
            told.append(f"  {key}: {count} added, {verdict}{f': {why}' if why else ''}")
        others = Counter(one.reason for key, one in self._advice.items() if key not in self._got)
        told += [f"  {_many(count, 'undecided case')} got none: {why}" for why, count in others.most_common()]
        return told

    def _told(self, new: Iterable[Trial], wanted: Sequence[CaseKey], before: dict[CaseKey, Advice]) -> str:
        """Return what a look found, as text."""
        names = ", ".join(map(str, wanted))
        verb = "get" if len(wanted) != 1 else "gets"
        told = [f"{_many(len(wanted), 'case')} {verb} one more replicate{f': {names}' if names else ''}"]
        tested = [one.key for one in match(self._base, new, self._rules) if one.verdict not in _UNTESTED]
        told.append(f"{sum(key not in self._advice for key in tested)} decided")
        told.append(f"{len(self._advice) - len(wanted)} undecided without one")
        for key, one in self._advice.items():
            if key not in wanted and key in before and before[key].worth_it:
                told.append(f"{key} is given up ({one.reason})")
        return "; ".join(told)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
