"""`proctor launch` on a real Slurm: whatever happens to jobs and nodes, the union of results is that of a whole run."""

from __future__ import annotations

import pytest

from tests.support.launched import CASES, PARTS, LaunchedProject
from tests.support.slurm import SlurmCluster

pytestmark = pytest.mark.slurm

EVERY = range(1, PARTS + 1)


def test_the_board_may_be_closed_and_attached_again_and_the_results_are_those_of_a_whole_run(
    launched: LaunchedProject, cluster: SlurmCluster
) -> None:
    board = launched.launch("slurm", "--time", "10m")
    launched.wait(lambda: len(launched.statuses) == PARTS, board)
    board.kill()
    board.wait()
    attached = launched.start("--attach", "last")
    assert launched.end(attached) == 0, launched.output.read_text()
    assert launched.differing() == []
    assert {status.state for status in launched.statuses.values()} == {"done"}
    assert f"{CASES} of {CASES} cases; parts: {PARTS} done" in launched.output.read_text()
    again = launched.start("--attach", launched.run.path.name)
    assert launched.end(again) == 0
    assert len(launched.records) == CASES


def test_a_part_whose_node_dies_goes_on_and_repeats_no_finished_case(
    launched: LaunchedProject, cluster: SlurmCluster
) -> None:
    board = launched.launch("slurm", "--time", "10m")
    launched.wait(lambda: any(map(launched.part_records, EVERY)), board)
    [victim, *_] = filter(launched.part_records, EVERY)
    kept = launched.part_records(victim)
    node = cluster.node_of(launched.job_of(victim))
    cluster.kill_node(node)
    cluster.revive(node)
    assert launched.end(board, meanwhile=cluster.release) == 0, launched.output.read_text()
    assert launched.differing() == []
    assert launched.statuses[victim].go == 2
    assert {name: one for name, one in launched.records.items() if name in kept} == kept


def test_a_part_that_is_ended_for_good_is_named_and_its_cases_are_missing(
    launched: LaunchedProject, cluster: SlurmCluster
) -> None:
    board = launched.launch("slurm", "--time", "10m")
    launched.wait(lambda: len(launched.statuses) == PARTS, board)
    cluster.call("scancel", launched.job_of(2))
    assert launched.end(board) == 1
    output = launched.output.read_text()
    lost = [name for name in launched.run.read().parts[1].cases if name not in launched.records]
    assert lost
    assert launched.missing == lost
    assert "part 2 is lost: the job was told to end (SIGTERM) (CANCELLED" in output
    assert f"  missing, not counted as anything: {', '.join(lost)}" in output
    assert {one.outcome for one in launched.records.values()} == {"passed"}


def test_no_case_begins_that_cannot_end_within_the_time_limit_and_the_rest_runs_in_the_next_job(
    launched: LaunchedProject, cluster: SlurmCluster
) -> None:
    board = launched.launch(
        "slurm", "--time", "3m", "--set", "limits.wall_s=25", "--set", "evaluation.wall_s=3", suite="slow"
    )
    assert launched.end(board, meanwhile=cluster.release) == 1, "nothing was handed in"
    assert launched.missing == [], launched.told()
    assert {one.outcome for one in launched.records.values()} == {"failed"}
    assert max(status.go for status in launched.statuses.values()) >= 2
    assert [one.session for one in launched.records.values() if one.earlier] == [], "no session was cut short"
