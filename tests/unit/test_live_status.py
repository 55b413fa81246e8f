"""The status that a worker reports, and how fast its model writes."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.live.line import CaseProgress
from harness.live.status import Rate, StatusFile, WorkerStatus, read_statuses

PROGRESS = CaseProgress(case="a", turn=3, last_tool="Bash", seconds=12.0, output_tokens=500)


def test_a_status_is_read_as_shown_and_gone_once_the_case_ends(tmp_path: Path) -> None:
    file = StatusFile(tmp_path / "gw1.json", lambda: 17_200.0)
    file.show(PROGRESS)
    shown = WorkerStatus(case="a", turn=3, last_tool="Bash", tokens_per_s=0.0, gpu_memory_mb=17_200.0)
    assert read_statuses(tmp_path) == {"gw1": shown}
    file.clear()
    assert list(tmp_path.iterdir()) == []
    file.show("waiting for a GPU")
    assert read_statuses(tmp_path) == {"gw1": WorkerStatus(doing="waiting for a GPU", gpu_memory_mb=17_200.0)}


def test_it_is_written_at_most_twice_a_second(tmp_path: Path) -> None:
    asked = []
    file = StatusFile(tmp_path / "gw0.json", lambda: asked.append(1))
    began = time.monotonic()
    for turn in range(1000):
        file.show(CaseProgress(case="a", turn=turn))
    assert 1 <= len(asked) <= 1 + 2 * (time.monotonic() - began)


def test_a_missing_folder_harms_no_case(tmp_path: Path) -> None:
    file = StatusFile(tmp_path / "gone/gw0.json")
    file.show(PROGRESS)
    file.clear()
    assert read_statuses(tmp_path / "gone") == {}


def test_workers_are_sorted_by_number_and_unreadable_files_are_left_out(tmp_path: Path) -> None:
    for name in ("gw10", "gw2", "gw0"):
        StatusFile(tmp_path / f"{name}.json").show(name)
    (tmp_path / "gw1.json").write_text("{")
    (tmp_path / "gw3.new").write_text("{}")
    assert list(read_statuses(tmp_path)) == ["gw0", "gw2", "gw10"]


def test_the_rate_covers_the_last_ten_seconds() -> None:
    rate = Rate(10.0)
    assert rate.update(0, 100.0) == 0.0
    assert rate.update(500, 105.0) == 100.0
    assert rate.update(500, 110.0) == 50.0
    assert rate.update(500, 115.0) == 0.0
    assert rate.update(900, 119.0) == 400 / 14


def test_a_long_answer_counts_over_its_whole_duration() -> None:
    rate = Rate(10.0)
    rate.update(0, 0.0)
    assert rate.update(3000, 60.0) == 50.0


def test_a_reset_count_gives_no_negative_rate() -> None:
    rate = Rate(10.0)
    rate.update(500, 0.0)
    assert rate.update(0, 1.0) == 0.0


@given(st.lists(st.tuples(st.floats(0.01, 30.0), st.integers(0, 1000)), min_size=1))
def test_the_rate_is_at_most_the_total_over_the_shortest_time(steps: list[tuple[float, int]]) -> None:
    rate, now, count = Rate(10.0), 0.0, 0
    rate.update(0, 0.0)
    for seconds, more in steps:
        now, count = now + seconds, count + more
        assert 0.0 <= rate.update(count, now) <= 1000 / 0.01 + 1e-6
