"""The lines of the live view, and its estimate of the time left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.live.board import Board, duration
from harness.live.line import width
from harness.live.status import WorkerStatus

STATUSES = {
    "gw0": WorkerStatus(case="claude-a-maze", turn=3, last_tool="Bash", tokens_per_s=41.3, gpu_memory_mb=17_200),
    "gw1": WorkerStatus(case="opencode-a-maze", turn=12),
    "gw2": WorkerStatus(doing="waiting for a GPU: 2 are leased, 1 is used by others"),
}


def lines(board: Board, now: float = 0.0, statuses: dict[str, WorkerStatus] = STATUSES, rows: int = 10) -> list[str]:
    return board.lines(statuses, now=now, workers=2, columns=79, rows=rows)


def test_there_is_a_line_per_worker_and_a_bar() -> None:
    board = Board(["a", "b", "c", "d"], {"a": 60.0, "b": 600.0, "c": 1200.0})
    board.began("a", 0.0)
    board.done("a", 50.0)
    board.began("b", 50.0)
    assert lines(board, now=50.0) == [
        "gw0  claude-a-maze    turn 3  Bash  41 tok/s  17.2 GB",
        "gw1  opencode-a-maze  turn 12",
        "gw2  waiting for a GPU: 2 are leased, 1 is used by others",
        "[######------------------] 1 of 4 cases, about 22 min left",
    ]


def test_without_an_earlier_run_there_is_no_estimate_until_a_case_ends() -> None:
    board = Board(["a", "b", "c"], {})
    assert lines(board, statuses={}) == [f"[{'-' * 24}] 0 of 3 cases"]
    board.began("a", 0.0)
    board.done("a", 30.0)
    assert lines(board, now=30.0, statuses={}) == [f"[{'#' * 8}{'-' * 16}] 1 of 3 cases, about 30 s left"]


def test_the_latest_state_of_each_budget_stands_above_the_bar() -> None:
    board = Board(["a", "b"], {})
    one = WorkerStatus(case="a", turn=2, budget="suite.budget: 3 of 9 requests used, 6 left", budget_at=7.0)
    both = "suite.budget: 2 of 9 requests used, 7 left; provider.x.daily_budget: 1 of 5 requests used, 4 left"
    other = WorkerStatus(case="b", turn=1, budget=both, budget_at=5.0)
    told = "suite.budget: 3 of 9 requests used, 6 left; provider.x.daily_budget: 1 of 5 requests used, 4 left"
    bar = f"[{'-' * 24}] 0 of 2 cases"
    shown = board.lines({"gw0": one, "gw1": other}, now=0.0, workers=2, columns=200, rows=10)
    assert shown == ["gw0  a  turn 2", "gw1  b  turn 1", told, bar]
    assert board.lines({}, now=1.0, workers=2, columns=200, rows=10) == [told, bar], "also between cases"
    assert board.lines({"gw0": one, "gw1": other}, now=0.0, workers=2, columns=200, rows=3)[-2:] == [told, bar]


def test_the_last_case_takes_its_time_with_any_number_of_workers() -> None:
    board = Board(["a", "b"], {"a": 100.0, "b": 10.0})
    assert board.seconds_left(0.0, 50) == 100.0
    board.began("a", 0.0)
    assert board.seconds_left(60.0, 50) == 40.0
    assert board.seconds_left(500.0, 1) == 10.0, "a case that takes longer than expected should end at any moment"


def test_a_test_that_is_not_a_case_of_this_run_does_not_count() -> None:
    board = Board(["a"], {"a": 5.0, "b": 50.0})
    board.began("b", 0.0)
    board.done("b", 1.0)
    assert lines(board, statuses={}) == [f"[{'-' * 24}] 0 of 1 cases, about 5 s left"]


cases = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(0.1, 1e5), min_size=1)


@given(expected=cases, workers=st.integers(1, 16))
def test_the_estimate_lies_between_the_longest_case_and_all_one_after_the_other(
    expected: dict[str, float], workers: int
) -> None:
    left = Board(expected, expected).seconds_left(0.0, workers)
    assert left is not None
    assert max(expected.values()) <= left <= sum(expected.values()) + 1e-6


@given(
    names=st.lists(st.text(max_size=30), max_size=20),
    columns=st.integers(1, 200),
    rows=st.integers(1, 12),
)
def test_the_view_fits_the_screen_whatever_agents_say(names: list[str], columns: int, rows: int) -> None:
    statuses = {f"gw{i}": WorkerStatus(case=name, turn=1, last_tool=name) for i, name in enumerate(names)}
    shown = Board(["a"], {}).lines(statuses, now=0.0, workers=1, columns=columns, rows=rows)
    assert 1 <= len(shown) <= rows
    assert shown[-1].startswith("[---"[:columns])
    for line in shown:
        assert width(line) <= columns
        assert line.isprintable()


@given(workers=st.integers(2, 20), columns=st.integers(31, 200), rows=st.integers(2, 12))
def test_the_view_says_how_many_workers_it_has_no_room_for(workers: int, columns: int, rows: int) -> None:
    workers += rows
    statuses = {f"gw{i}": WorkerStatus(case="a", turn=1, last_tool="b") for i in range(workers)}
    shown = Board(["a"], {}).lines(statuses, now=0.0, workers=1, columns=columns, rows=rows)
    assert shown[-2] == f"… and {workers - (rows - 2)} more"


def test_durations_are_written_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (0, 89, 90, 3600, 5399, 5400, 7500)] == [
        "0 s", "89 s", "2 min", "60 min", "1 h 30 min", "1 h 30 min", "2 h 5 min"
    ]  # fmt: skip
