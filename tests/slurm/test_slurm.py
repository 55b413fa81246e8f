"""`proctor launch` on a real Slurm: whatever happens to jobs and nodes, the union of results is that of a whole run."""

from __future__ import annotations

import pytest

from tests.support.launched import CASES, PARTS, LaunchedProject
from tests.support.slurm import SlurmCluster

pytestmark = pytest.mark.slurm


def test_an_array_of_four_parts_gives_the_results_of_a_whole_run(
    launched: LaunchedProject, cluster: SlurmCluster
) -> None:
    process = launched.launch("slurm", "--time", "10m")
    assert launched.end(process) == 0, launched.output.read_text()
    assert launched.differing() == []
    assert {status.state for status in launched.statuses.values()} == {"done"}
    assert len(launched.statuses) == PARTS
    assert f"{CASES} of {CASES} cases; parts: {PARTS} done" in launched.output.read_text()


def test_a_part_whose_node_dies_goes_on_and_repeats_no_finished_case(
    launched: LaunchedProject, cluster: SlurmCluster
) -> None:
    process = launched.launch("slurm", "--time", "10m")
    launched.wait(lambda: any(launched.part_records(index) for index in range(1, PARTS + 1)), process)
    [victim, *_] = [index for index in range(1, PARTS + 1) if launched.part_records(index)]
    kept = launched.part_records(victim)
    jobs = {job: node for node, job in cluster.running().items()}
    node = jobs[launched.statuses[victim].token.partition(".")[0]]
    cluster.kill_node(node)
    cluster.revive(node)
    cluster.release()
    assert launched.end(process) == 0, launched.output.read_text()
    assert launched.differing() == []
    assert launched.statuses[victim].go == 2
    assert {name: one for name, one in launched.records.items() if name in kept} == kept
