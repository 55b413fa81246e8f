"""Further replicates of cases, as `pytest --until-decided` adds them: their tests and names. It has no effects.

A further replicate runs the same tests as a planned one. xdist knows a test only by its number in the list of collected
tests. So the tests of further replicates have numbers after those, which every process works out alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from harness.case import Case
from harness.case_folder import case_in
from harness.suite.replicates import further
from harness.verdict.trials import CaseKey


class Numbering(Struct, frozen=True):
    """The numbers of tests: those of the `collected` ones, one for the pause, then those of further replicates."""

    collected: int

    @property
    def pause(self) -> int:
        """The number of the pause, in which a process waits until it is known whether more tests follow."""
        return self.collected

    def further(self, like: int, replicate: int) -> int:
        """Return the number of the test that does for a further replicate what the test `like` does for its own."""
        return self.collected + 1 + replicate * self.collected + like

    def origin(self, number: int) -> tuple[int, int]:
        """Return the number of the collected test that a further one is made from, and the replicate."""
        replicate, like = divmod(number - self.collected - 1, self.collected)
        return like, replicate


class FurtherTest(Struct, frozen=True, kw_only=True):
    """A test of a further replicate: its number, its id, its session's folder and its case.

    `like` is the number of the collected test that it is made from.
    """

    number: int
    like: int
    nodeid: str
    folder: str
    case: Case


class Replicates:
    """Knows which tests make up one more replicate of a case.

    `nodeids` are the collected tests. `folders` maps those that use a session to the session's folder. `cases` are the
    cases of the run, whose suite plans `planned` replicates of each.
    """

    def __init__(self, nodeids: Sequence[str], folders: Mapping[str, str], cases: Sequence[Case], planned: int) -> None:
        self.numbering = Numbering(len(nodeids))
        self._nodeids = nodeids
        self._folders = folders
        self._planned = planned
        by_id = {case.id: case for case in cases}
        self._cases = {
            number: by_id[case_in(folders[nodeid], by_id)] for number, nodeid in enumerate(nodeids) if nodeid in folders
        }
        self._first: dict[CaseKey, Case] = {}
        for case in sorted(self._cases.values(), key=lambda one: one.replicate):
            self._first.setdefault(key_of(case), case)

    def __contains__(self, key: CaseKey) -> bool:
        """Return whether tests of this case were collected."""
        return key in self._first

    def case_like(self, number: int) -> Case:
        """Return the case of a collected test that uses a session."""
        return self._cases[number]

    def one_more(self, key: CaseKey, last: int) -> list[FurtherTest]:
        """Return the tests of a further replicate, which do what those of the first collected replicate do.

        `last` is the highest number of a replicate that the case has so far.
        """
        return self._of(self._first[key], max(last, self._planned) + 1)

    def with_number(self, like: int, replicate: int) -> list[FurtherTest]:
        """Return the tests of the further replicate that has a test made from the collected one of this number."""
        return self._of(self._cases[like], replicate)

    def _of(self, like: Case, replicate: int) -> list[FurtherTest]:
        case = further(like, replicate, self._planned)
        return [
            FurtherTest(
                number=self.numbering.further(number, replicate),
                like=number,
                nodeid=renamed(self._nodeids[number], like, case),
                folder=case.id + self._folders[self._nodeids[number]].removeprefix(like.id),
                case=case,
            )
            for number, one in self._cases.items()
            if one is like
        ]


def key_of(case: Case) -> CaseKey:
    """Return what all replicates of a case have in common."""
    return CaseKey(case.backend.name, case.model.name, case.environment.name)


def renamed(nodeid: str, like: Case, case: Case) -> str:
    """Return pytest's id of a test of the case `like` with the other case in it."""
    found = list(re.finditer(rf"(?<=[\[-]){re.escape(like.id)}(?=[]-])", nodeid))
    return nodeid[: found[-1].start()] + case.id + nodeid[found[-1].end() :] if found else f"{nodeid}[{case.id}]"
