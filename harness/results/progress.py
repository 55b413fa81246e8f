"""What a run has done of what it set out to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from harness.endings import Ending
from harness.results.record import RERUN, Record


def outcomes(records: Iterable[Record]) -> dict[str, dict[str, str]]:
    """Return the outcomes of the tests of each session, by session and test. The last try of a session counts."""
    found = defaultdict[str, dict[str, str]](dict)
    for record in sorted(records, key=lambda record: record.try_number):
        found[record.session] |= record.tests
    return dict(found)


def unfinished(tests: Mapping[str, str], records: Iterable[Record], *, keep_errors: bool) -> dict[str, str]:
    """Return those of the tests that are still to run, with the names of their sessions.

    `tests` maps every test of the run to its session. All tests of a session run again together. They do so if the
    last try was stopped before a test had an outcome, if one of them has no outcome in any try, or if one ended with an
    error and `keep_errors` is false. They also run again if a budget of several cases was spent.
    """
    records = sorted(records, key=lambda record: record.try_number)
    last = {record.session: record for record in records}
    known = outcomes(record for record in records if last[record.session].tests)
    again = {RERUN} if keep_errors else {RERUN, "error"}

    def is_open(test: str, session: str) -> bool:
        if session in last and last[session].ending is Ending.BUDGET_SPENT:
            return True
        outcome = known.get(session, {}).get(test)
        return outcome is None or outcome in again

    sessions = {session for test, session in tests.items() if is_open(test, session)}
    return {test: session for test, session in tests.items() if session in sessions}
