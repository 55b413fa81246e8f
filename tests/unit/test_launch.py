"""`proctor launch`: how parts are planned, what is decided and shown, and what jobs are asked for. No job runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.budget_conf import BudgetConf, PaceConf
from harness.case import Case, ProviderConf
from harness.commands.arguments import walltime
from harness.commands.main import main
from harness.endings import ConfError
from harness.launch import board
from harness.launch.asking import local_parameters, session_command, slurm_parameters
from harness.launch.files import JobRequest, PartFolder, PartStatus
from harness.launch.job import parse_left
from harness.launch.locks import judge
from harness.launch.outcome import Next, SessionEnd, after
from harness.launch.plan import check, plan
from harness.launch.queue import QueuedJob, read_queue
from harness.launch.states import PartView, view
from tests.support.cases import LOCAL, REMOTE, make_case
from tests.support.launch_plans import PART, a_plan
from tests.support.project import Project

ELSEWHERE = ProviderConf("vllm", kind="vllm", wires=["openai_chat"], base_url="http://models.invalid:8000")
REQUEST = JobRequest(time_s=3600, ending_s=40)


def suite(models: Sequence[tuple[ProviderConf, int]]) -> list[Case]:
    """Return the cases of these models: their providers, and how many cases each has."""
    return [
        make_case(model=f"m{index}", provider=provider, replicate=replicate)
        for index, (provider, number) in enumerate(models)
        for replicate in range(1, number + 1)
    ]


MODELS = st.lists(st.tuples(st.sampled_from([LOCAL, REMOTE, ELSEWHERE]), st.integers(1, 9)), min_size=1, max_size=5)


@given(models=MODELS, count=st.integers(1, 6))
def test_each_case_is_in_one_part_and_a_server_elsewhere_is_used_from_one_machine(
    models: list[tuple[ProviderConf, int]], count: int
) -> None:
    cases = suite(models)
    try:
        parts = plan(cases, count, lambda case: float(case.replicate))
    except ConfError:  # more parts than can have a case
        reject()
    assert sorted(name for part in parts for name in part.cases) == sorted(case.id for case in cases)
    assert all(part.cases for part in parts)
    for name in {case.model.name for case in cases if case.provider is ELSEWHERE}:
        ids = {case.id for case in cases if case.model.name == name}
        assert sum(bool(ids & {*part.cases}) for part in parts) == 1
    seconds = {case.id: case.replicate for case in cases}
    assert [part.expected_s for part in parts] == [sum(seconds[name] for name in part.cases) for part in parts]


@pytest.mark.parametrize(
    ("case", "request_", "fault"),
    [
        (make_case(gpus=4), replace(REQUEST, gpus_per_node=2), "--gpus-per-node 2 is too few: ollama/model needs 4"),
        (make_case(provider=REMOTE), replace(REQUEST, time_s=1800), "may take 2100 s"),
    ],
)
def test_a_case_that_can_never_run_in_such_a_job_is_refused(case: Case, request_: JobRequest, fault: str) -> None:
    with pytest.raises(ConfError, match=fault):
        check([case], request_)


def ended(**changes: Any) -> SessionEnd:
    return replace(SessionEnd(status=0, begun=True, left=3), **changes)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (ended(status=1, left=0), "done"),
        (ended(status=143, left=0, told="stop"), "done"),
        (ended(status=143, told="stop"), "stopped"),
        (ended(status=143, told="cancel"), "stopped"),
        (ended(status=143), "stopped"),
        (ended(status=143, told="time"), "continues"),
        (ended(too_late=3), "continues"),
        (ended(status=1, too_late=1), "continues"),
        (ended(status=143, told="time", idle=3), "failed"),
        (ended(status=-9, crashes=1), "again"),
        (ended(status=3), "again"),
        (ended(status=-11, crashes=2), "failed"),
        (ended(status=1), "failed"),
        (ended(status=4, begun=False, left=0), "failed"),
    ],
)
def test_what_follows_the_end_of_a_session(end: SessionEnd, state: str) -> None:
    assert after(end).state == state


def test_a_part_that_failed_says_what_pytest_said() -> None:
    end = ended(status=4, begun=False, left=0, said="ERROR: conf/suite/parts.yaml: no such model")
    why = "pytest ended with status 4 and left 0 cases: ERROR: conf/suite/parts.yaml: no such model"
    assert after(end) == Next("failed", why)


STATUS = PartStatus(state="running", holder="7.1", go=2, host="n1", at=1000.0, ran_s=30.0, outcomes={"passed": 3})


def seen(job: QueuedJob | None, status: PartStatus | None, *, cancelled: bool = False, now: float = 1001.0) -> PartView:
    return view(PART, job, status, cancelled=cancelled, now=now)


def test_a_part_is_shown_by_what_slurm_and_the_part_say() -> None:
    runs, waits, gone = (
        QueuedJob("runs", "RUNNING"),
        QueuedJob("waits", "PENDING: Resources"),
        QueuedJob("ended", "FAILED"),
    )
    assert (seen(waits, None).phase, seen(waits, None).why) == ("waits", "PENDING: Resources")
    assert (seen(runs, STATUS).phase, seen(runs, STATUS).left_s) == ("runs", 10.0)
    assert seen(runs, STATUS, now=1200.0).why == "nothing heard for 200 s"
    assert seen(None, STATUS).why == "the cluster does not answer"
    assert seen(gone, replace(STATUS, state="done")).phase == "done"
    assert (seen(gone, STATUS).phase, seen(gone, None).why) == ("lost", "its job ended without a word (FAILED)")
    assert seen(gone, STATUS, cancelled=True).phase == "cancelled"


@given(
    phases=st.lists(st.sampled_from(["waits", "runs", "done", "lost", "cancelled"]), min_size=1, max_size=30),
    columns=st.integers(20, 200),
    rows=st.integers(3, 40),
)
def test_the_board_fits_the_terminal_and_counts_every_part(phases: list[Any], columns: int, rows: int) -> None:
    views = [PartView(part=PART, phase=phase, why="\x1b[31m", finished=1, cost_usd=0.5) for phase in phases]
    lines = board.lines(views, columns=columns, rows=rows)
    assert len(lines) <= rows
    assert all(len(line) <= columns and line.isprintable() for line in lines)
    assert f"{len(phases)} of {4 * len(phases)} cases" in board.total(views)
    assert f"${0.5 * len(phases):.2f}" in board.total(views)


def test_the_states_of_jobs_are_read_from_squeue() -> None:
    answer = "12_0|RUNNING|None\n12_1|PENDING|BeginTime\n12_2|NODE_FAIL|None\n"
    assert dict(read_queue(answer)) == {
        "12_0": QueuedJob("runs", "RUNNING"),
        "12_1": QueuedJob("waits", "PENDING: BeginTime"),
        "12_2": QueuedJob("ended", "NODE_FAIL"),
    }


def test_times_are_read() -> None:
    left = {"1:02": 62, "3:01:02": 10862, "2-03:01:02": 183662, "UNLIMITED": None, "INVALID": 7.0}
    assert {text: parse_left(text, 7.0) for text in left} == left
    given_times = {"90m": 5400, "12h": 43200, "2d": 172800, "12:00:00": 43200, "1-00:30:00": 88200}
    assert {text: walltime(text) for text in given_times} == given_times


@pytest.mark.parametrize(
    ("kind", "options", "holds"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", True),
        ("nfs", "rw,vers=4.1,local_lock=none", True),
        ("nfs", "rw,vers=3,local_lock=none", False),
        ("nfs4", "rw,nolock", False),
        ("nfs", "rw,vers=4.1,local_lock=posix", False),
        ("lustre", "rw,flock", True),
        ("lustre", "rw,localflock", False),
        ("gpfs", "rw", True),
        ("ext4", "rw", False),
        ("fuse.sshfs", "rw", False),
    ],
)
def test_which_folders_lock_for_all_nodes(kind: str, options: str, holds: bool) -> None:
    assert judge(kind, options.split(",")).holds is holds


@given(
    limits=st.builds(
        BudgetConf,
        cost_usd=st.none() | st.floats(0.01, 1e6),
        tokens=st.none() | st.integers(1, 10**9),
        requests=st.none() | st.integers(1, 1000),
    ),
    shares=st.integers(1, 200),
)
def test_the_shares_of_a_budget_never_exceed_it(limits: BudgetConf, shares: int) -> None:
    share = limits.share(shares)
    if share is None:
        assert min(one for one in (limits.tokens, limits.requests) if one is not None) < shares
        return
    for name in ("cost_usd", "tokens", "requests"):
        whole, one = getattr(limits, name), getattr(share, name)
        assert (whole is None) == (one is None)
        assert whole is None or (0 < one * shares <= whole * (1 + 1e-12))
    assert PaceConf(concurrent=3).share(4) is None


def test_slurm_is_asked_for_jobs_that_run_again_and_the_local_executor_for_the_same_time() -> None:
    asked = slurm_parameters(a_plan())
    assert asked["additional_parameters"] == {"requeue": True, "partition": "gpu", "mem": "64G"}
    assert (asked["time"], asked["signal_delay_s"], asked["gpus_per_node"], asked["nodes"]) == (90, 37, 2, 1)
    assert "gpus_per_node" not in slurm_parameters(a_plan(resources=REQUEST))
    assert local_parameters(a_plan()) == {
        "timeout_min": 90.0,
        "signal_delay_s": 36.5,
        "gpus_per_node": 2,
        "stderr_to_stdout": True,
    }


def test_a_part_begins_its_shard_and_then_goes_on_with_it(tmp_path: Path) -> None:
    begin, resume = (session_command(a_plan(), PartFolder(tmp_path), resume=again)[3:] for again in (False, True))
    assert begin == [f"--runs-dir={tmp_path}", "-n", "auto", "--suite=nightly", "--set=limits.turns=3"]
    assert resume == [f"--runs-dir={tmp_path}", "-n", "auto", "--resume=latest", "--keep-errors"]


def test_a_dry_run_prints_the_plan_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    given_words = ["launch", "--suite", "pr", "--cluster", "slurm", "--nodes", "2", "--partition", "gpu", "--dry-run"]
    assert main(given_words) == 0
    shown = capsys.readouterr().out
    assert "in 2 parts" in shown
    assert "each job on slurm: time 12 h 0 min, partition=gpu, auto pytest workers" in shown
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--suite", "pr"], "--cluster says where the parts run"),
        (["--cluster", "local", "--partition", "gpu"], "--cluster local knows no partition"),
        (["--cluster", "slurm", "--slurm", "mem"], "--slurm mem: write KEY=VALUE"),
        (["--cluster", "slurm", "--time", "soon"], "'soon' is not a time such as 90m"),
        (["--cluster", "slurm", "--nodes", "99"], "99 parts are too many"),
        (
            ["--cluster", "slurm", "--nodes", "2", "--set", "+suite.budget={requests: 1}"],
            "suite.budget is too small for 2 parts with a share each",
        ),
        (["--attach", "last"], "last: there is no"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    fault: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["launch", *words, *(["--dry-run"] if "--attach" not in words else [])])
    assert fault in capsys.readouterr().err
