"""Further replicates of cases: their names and tests, and what the command line may ask for."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from harness.case import Case, KnownFailure, SuiteConf
from harness.endings import ConfError
from harness.further import Replicates, key_of, renamed
from harness.live.board import Board
from harness.options import CommandLine
from harness.stash import looks_of
from harness.suite.replicates import asks_for_looks, further, looks_at, require_free_names
from harness.verdict.rules import Looks
from tests.support.cases import make_case

PLANNED = [make_case(environment=name, replicate=number) for name in ("door", "maze") for number in (1, 2)]
SUITE = SuiteConf("nightly", ["claude"], ["model"], ["door", "maze"], replicates=2)


def once(case: Case) -> Case:
    """Return the case as a suite without repetitions has it."""
    return replace(case, id=case.id.removesuffix("-r1"))


def test_a_further_replicate_differs_from_the_planned_ones_only_by_its_number() -> None:
    third = further(PLANNED[0], 3, 2)
    assert (third.id, third.replicate) == ("claude-model-door-r3", 3)
    assert replace(third, id=PLANNED[0].id, replicate=1) == PLANNED[0]


def test_a_further_replicate_is_a_known_failure_unless_the_entry_names_another_replicate() -> None:
    for pattern, known in (("claude-model-door", True), ("*-door-r*", True), ("claude-model-door-r1", False)):
        entry = KnownFailure(case=pattern, reason="flaky door", until=date(2030, 1, 1))
        made = further(replace(PLANNED[0], known_failure=entry), 3, 2)
        assert (made.known_failure == entry) is known


def test_a_case_that_its_suite_does_not_repeat_has_a_second_replicate() -> None:
    assert further(once(PLANNED[0]), 2, 1).id == "claude-model-door-r2"


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("t.py::test_case[claude-model-door-r1]", "t.py::test_case[claude-model-door-r7]"),
        ("t.py::Test::test_x[a-claude-model-door-r1-b]", "t.py::Test::test_x[a-claude-model-door-r7-b]"),
        ("t.py::test_x[[1]-claude-model-door-r1]", "t.py::test_x[[1]-claude-model-door-r7]"),
        (
            "t.py::test_x[claude-model-door-r11-claude-model-door-r1]",
            "t.py::test_x[claude-model-door-r11-claude-model-door-r7]",
        ),
    ],
)
def test_the_id_of_a_test_has_the_case_replaced(nodeid: str, expected: str) -> None:
    assert renamed(nodeid, PLANNED[0], further(PLANNED[0], 7, 2)) == expected


def test_one_more_replicate_runs_every_test_that_uses_a_session_of_the_case() -> None:
    folders = dict[str, str]()
    for case in PLANNED:
        folders |= {f"t.py::test_a[{case.id}]": case.id, f"t.py::test_own[{case.id}]": f"{case.id}.2"}
    nodeids = ["t.py::test_plain", *folders, f"t.py::test_without_session[{PLANNED[0].id}]"]
    replicates = Replicates(nodeids, folders, PLANNED, 2)
    assert key_of(PLANNED[2]) in replicates
    assert key_of(make_case(environment="other")) not in replicates
    found = replicates.one_more(key_of(PLANNED[2]), last=2)
    assert [(test.nodeid, test.folder, test.case.replicate) for test in found] == [
        ("t.py::test_a[claude-model-maze-r3]", "claude-model-maze-r3", 3),
        ("t.py::test_own[claude-model-maze-r3]", "claude-model-maze-r3.2", 3),
    ]
    assert [nodeids[test.like] for test in found] == [
        f"t.py::test_{name}[claude-model-maze-r1]" for name in ("a", "own")
    ]
    assert replicates.with_number(found[0].like, 3) == found


def test_a_number_that_the_suite_plans_is_never_given_to_an_added_replicate() -> None:
    selected = {f"t.py::test_a[{PLANNED[0].id}]": PLANNED[0].id}  # with -k r1
    [test] = Replicates(list(selected), selected, PLANNED, 2).one_more(key_of(PLANNED[0]), last=1)
    assert test.case.replicate == 3


def test_the_board_counts_added_cases() -> None:
    board = Board(["a", "b"], {})
    board.done("a", 1.0)
    board.add(["c", "c"])
    assert board.lines({}, now=1.0, workers=1, columns=80, rows=5)[-1].startswith("[########----------------] 1 of 3")


class TestOptions:
    BASE = CommandLine(baseline="last:7")

    def test_the_suite_says_how_many_replicates_come_first(self) -> None:
        assert looks_at(SUITE, None) == Looks(first=2, last=12)
        assert looks_at(SUITE, "5") == Looks(first=2, last=5)
        assert looks_at(replace(SUITE, replicates=20), None) == Looks(first=20, last=20)

    def test_it_is_asked_for_with_a_baseline(self) -> None:
        assert not asks_for_looks(CommandLine())
        assert not asks_for_looks(self.BASE)
        assert asks_for_looks(self.BASE._replace(until_decided=True))

    def test_without_a_baseline_there_is_nothing_to_decide(self) -> None:
        with pytest.raises(ConfError, match="against a baseline: name one, --baseline REF"):
            asks_for_looks(CommandLine(until_decided=True))

    def test_a_largest_number_alone_does_nothing(self) -> None:
        with pytest.raises(ConfError, match="--max-replicates 5 needs --until-decided"):
            asks_for_looks(self.BASE._replace(max_replicates="5"))

    @pytest.mark.parametrize(
        ("most", "said"),
        [
            ("1", r"already plans 2 for each case .*suite.replicates\); name 2 or more"),
            ("x", "a number"),
            ("-3", "a number"),
        ],
    )
    def test_a_largest_number_that_cannot_be_is_explained(self, most: str, said: str) -> None:
        with pytest.raises(ConfError, match=f"--max-replicates {most}: .*{said}"):
            looks_at(SUITE, most)

    @pytest.mark.parametrize("workers", [{"numprocesses": 2}, {"tx": ["popen"]}])
    def test_a_distribution_that_cannot_wait_for_the_next_round_is_refused(self, workers: dict[str, object]) -> None:
        given = {"proctor_until_decided": True, "dist": "loadfile", **workers}
        config: Any = SimpleNamespace(getoption=lambda name, default=None: given.get(name, default))
        with pytest.raises(pytest.UsageError, match="--until-decided does not work with --dist loadfile"):
            looks_of(config)

    def test_no_case_has_the_name_that_a_replicate_of_another_would_get(self) -> None:
        require_free_names(PLANNED, "nightly")
        with pytest.raises(
            ConfError, match="claude-model-door-r2 has the name of a replicate of the case claude-model-door,"
        ):
            require_free_names([once(PLANNED[0]), PLANNED[1]], "nightly")
