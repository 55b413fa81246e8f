"""`pytest --until-decided`: asks after the planned cases, and after each round, which cases get one more replicate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from harness.closing import Closing
from harness.expected import XPASS
from harness.further import FurtherTest, Replicates
from harness.live.view import BOARD
from harness.recorder import RunWriter
from harness.session_verdict import SessionVerdict
from harness.stash import cases_of, looks_of
from harness.verdict.comparison import Verdict
from harness.verdict.deciding import Advice, until_decided
from harness.verdict.gate import RATES, compare
from harness.verdict.matched import Matched, match
from harness.verdict.rules import Rules
from harness.verdict.trials import CaseKey, Trial, by_case

_UNTESTED = (Verdict.NEW, Verdict.GONE, Verdict.INCOMPARABLE)


class UntilDecided:
    """Looks at the results so far, and says what runs next.

    `trials` returns the trials of the baseline, and those of this session so far. `say` shows the user a line. `added`
    is called with the tests of each round before the round begins.
    """

    def __init__(
        self,
        trials: Callable[[], tuple[list[Trial], list[Trial]]],
        rules: Rules,
        replicates: Replicates,
        *,
        say: Callable[[str], None],
        added: Callable[[Sequence[FurtherTest]], None],
    ) -> None:
        self._trials = trials
        self._rules = rules
        self._replicates = replicates
        self._say = say
        self._added = added
        self._looks = 0
        self._advice: dict[CaseKey, Advice] = {}

    def next_round(self) -> list[FurtherTest]:
        """Look, and return the tests of one more replicate of each case that is worth it. Return [] if none is."""
        base, new = self._trials()
        before, self._advice = self._advice, {one.key: one for one in until_decided(base, new, self._rules)}
        wanted = [key for key, one in self._advice.items() if one.worth_it and key in self._replicates]
        self._looks += 1
        self._say(f"look {self._looks}: {self._told(match(base, new, self._rules), wanted, before)}")
        last = {key: max(trial.replicate for trial in found) for key, found in by_case(new).items()}
        tests = [test for key in wanted for test in self._replicates.one_more(key, last[key])]
        if tests:
            self._added(tests)
        return tests

    def closing(self) -> Closing:
        """Return how many replicates were added, and what they decided."""
        return Closing(self._lines(), title="until decided")

    def _lines(self) -> list[str]:
        if not self._looks:
            return ["the session stopped before its planned cases were done: no replicate was added"]
        base, new = self._trials()
        got = Counter(trial.key for trial in new if trial.added)
        told = [f"{_many(got.total(), 'replicate')} added in {_many(self._looks, 'look')}"]
        verdicts = {
            found.name: found.verdict
            for found in (compare(base, new, self._rules, [RATES]) if got else [])
            if found.level == "case"
        }
        for key, count in got.most_common():
            why = ""
            if verdicts[str(key)] is Verdict.INCONCLUSIVE and key in self._advice:
                advice = self._advice[key]
                why = ": the session was stopped" if advice.worth_it else f": {advice.reason}"
            told.append(f"  {key}: {count} added, {verdicts[str(key)]}{why}")
        told += [
            f"  {key}: worth one more replicate, but its tests are not part of this session"
            for key, one in self._advice.items()
            if one.worth_it and key not in self._replicates
        ]
        others = Counter(one.reason for key, one in self._advice.items() if key not in got and not one.worth_it)
        told += [f"  {_many(count, 'undecided case')} got none: {why}" for why, count in others.most_common()]
        return told

    def _told(self, matched: Iterable[Matched], wanted: Sequence[CaseKey], before: Mapping[CaseKey, Advice]) -> str:
        """Return what a look found, as text."""
        verb = "gets" if len(wanted) == 1 else "get"
        more = f"{_many(len(wanted), 'case')} {verb} one more replicate: {', '.join(map(str, wanted))}"
        tested = [one.key for one in matched if one.verdict not in _UNTESTED]
        decided = sum(key not in self._advice for key in tested)
        told = [
            more if wanted else "no case gets one more replicate",
            f"decided: {decided}",
            f"undecided and not worth one: {sum(not one.worth_it for one in self._advice.values())}",
        ]
        for key, one in self._advice.items():
            if not one.worth_it and key in before and before[key].worth_it:
                told.append(f"given up: {key} ({one.reason})")
        return "; ".join(told)


def until_decided_of(
    config: pytest.Config,
    verdict: SessionVerdict,
    writer: RunWriter,
    nodeids: Sequence[str],
    folders: Mapping[str, str],
) -> UntilDecided | None:
    """Return what decides on further replicates in this session, or `None` without `--until-decided`.

    `nodeids` are the collected tests, and `folders` maps those that use a session to the session's folder.
    """
    looks = looks_of(config)
    if looks is None:
        return None

    def trials() -> tuple[list[Trial], list[Trial]]:
        found = verdict.found_so_far()
        return verdict.baseline_for(found).trials, found.trials

    def say(text: str) -> None:
        terminal = config.pluginmanager.getplugin("terminalreporter")
        if isinstance(terminal, pytest.TerminalReporter) and config.option.verbose >= 0:
            terminal.ensure_newline()
            screen = config.get_terminal_writer()
            if screen.width_of_current_line:  # with workers, pytest does not know that it wrote something
                screen.line()
            terminal.write_line(text)

    def added(tests: Sequence[FurtherTest]) -> None:
        writer.add(tests)
        session: Any = config.pluginmanager.getplugin("session")
        session.testscollected += len(tests)  # pytest shows the progress as a share of it
        expecting = config.pluginmanager.getplugin(XPASS)
        if expecting is not None:
            expecting.add({test.nodeid: test.case for test in tests})
        board = config.pluginmanager.getplugin(BOARD)
        if board is not None:
            board.add([test.case.id for test in tests])

    rules = replace(verdict.rules, looks=looks)
    replicates = Replicates(nodeids, folders, cases_of(config), looks.first)
    return UntilDecided(trials, rules, replicates, say=say, added=added)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
