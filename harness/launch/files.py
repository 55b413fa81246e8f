"""The files of a launched run: what was planned and submitted, and what each part says about itself.

runs/TIME-SUITE/              the run: results.jsonl and the folders of cases, merged as they come
    launch.json               what was planned (`LaunchPlan`)
    jobs.json                 what was submitted (`Jobs`)
    cancelled                 is there once the run was cancelled
    submitit/                 scripts, pickles and logs of the jobs
    parts/1/orders.json       what the pytest session of part 1 must know (`harness.part_orders`)
    parts/1/status.json       what part 1 says about itself (`PartStatus`)
    parts/1/output.txt        what its pytest sessions printed
    parts/1/TIME-SUITE/       its run, an ordinary one
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct, field

from harness.malformed import MALFORMED
from harness.private import private_folder
from harness.results.durable import write_durably
from harness.results.run_folder import LATEST

LAUNCH = "launch.json"
CANCELLED = "cancelled"

Cluster = Literal["slurm", "local"]
Sharing = Literal["none", "shared", "divided"]

T = TypeVar("T")


class Part(Struct, frozen=True, kw_only=True):
    """One part of a suite: what one job runs.

    `index` counts from 1. `cases` are the ids of its cases. `servers` names the model servers that they need, and
    `gpus` is the most GPUs that one of these needs. `expected_s` is how long the cases are expected to take, one after
    the other, or `None` if nothing is known of them.
    """

    index: int
    cases: list[str]
    servers: list[str] = field(default_factory=list)
    gpus: int = 0
    expected_s: float | None = None


class JobRequest(Struct, frozen=True, kw_only=True):
    """What each job asks the cluster for.

    `time_s` is its time limit, in seconds. The job is told to end `ending_s` seconds before it, or up to `early_s`
    seconds earlier. `options` are further options of `sbatch`, such as `{"partition": "gpu"}`.
    """

    time_s: float
    ending_s: float
    early_s: float = 0.0
    gpus_per_node: int = 0
    options: dict[str, str] = field(default_factory=dict)

    @property
    def reserved_s(self) -> float:
        """The seconds before the time limit in which no case may run."""
        return self.ending_s + self.early_s


class LaunchPlan(Struct, frozen=True, kw_only=True):
    """What was planned. `root` is the project's root folder, and `runs` the folder of runs.

    `options` are those that choose and change the cases, as pytest takes them. `workers` is how many workers each
    pytest session has, or `auto`. `sharing` says whether the parts keep the budgets that cases share in one file, or
    each has its share of them, or there are none. `why` tells the reason.
    """

    schema: int = 1
    suite: str
    cluster: Cluster
    root: str
    runs: str
    options: list[str]
    workers: str
    parts: list[Part]
    resources: JobRequest
    sharing: Sharing
    why: str


class LaunchedJob(Struct, frozen=True):
    """The job of a part: its id on the cluster. On this machine, it is a process that `started` at that clock tick."""

    id: str
    started: int | None = None


class Jobs(Struct, frozen=True):
    """The jobs, one for each part and in their order. `host` is the machine that submitted them."""

    host: str
    jobs: list[LaunchedJob]


PartState = Literal["running", "done", "continues", "stopped", "failed"]


class PartStatus(Struct, frozen=True, kw_only=True):
    """What a part says about itself.

    It `continues` when it is about to run again in a new job, and is `stopped` when its job was told to end. `why`
    tells the reason of an end.

    `go` counts the jobs that have worked on the part, and `idle` the latest ones in a row that finished no case.
    `holder` names the present job. `ran_s` are the seconds that all of them worked. `outcomes` counts the finished
    cases by outcome. `cost_usd` is what they and the unfinished ones cost, as far as that is known. `at` is when this
    was written, in seconds since 1970.
    """

    state: PartState
    holder: str
    go: int
    host: str
    at: float
    ran_s: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    cost_usd: float = 0.0
    idle: int = 0
    why: str = ""

    @property
    def finished(self) -> int:
        """How many cases have a result."""
        return sum(self.outcomes.values())


class LaunchFolder(Struct, frozen=True):
    """The layout of a launched run in the folder `path`."""

    path: Path

    def part(self, index: int) -> PartFolder:
        """Return the folder of a part."""
        return PartFolder(self.path / "parts" / str(index))

    @property
    def jobs_file(self) -> Path:
        """What was submitted."""
        return self.path / "jobs.json"

    @property
    def submission(self) -> Path:
        """The folder of submitit."""
        return self.path / "submitit"

    @property
    def submission_log(self) -> Path:
        """What the submission printed."""
        return self.path / "submission.txt"

    @property
    def budgets(self) -> Path:
        """The budgets that all parts share."""
        return self.path / "budget.sqlite"

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return (self.path / CANCELLED).exists()

    def mark_cancelled(self) -> None:
        """Note that the run was cancelled. Raise `OSError` if that is not possible."""
        (self.path / CANCELLED).touch()

    def read(self) -> LaunchPlan:
        """Return what was planned. Raise `OSError` or `ValueError`, which names the file."""
        return _read(self.path / LAUNCH, LaunchPlan)

    def write(self, launch: LaunchPlan) -> None:
        """Write what was planned. Raise `OSError` if that is not possible."""
        write_durably(self.path / LAUNCH, [msgspec.json.format(msgspec.json.encode(launch)), b"\n"])

    def jobs(self) -> Jobs:
        """Return what was submitted. Raise `OSError` or `ValueError`, which names the file."""
        return _read(self.jobs_file, Jobs)


class PartFolder(Struct, frozen=True):
    """The layout of a part in the folder `path`. It is the folder of runs of the part's pytest sessions."""

    path: Path

    @property
    def orders(self) -> Path:
        """What the pytest session must know."""
        return self.path / "orders.json"

    @property
    def status_file(self) -> Path:
        """What the part says about itself."""
        return self.path / "status.json"

    @property
    def output(self) -> Path:
        """What the pytest sessions printed."""
        return self.path / "output.txt"

    @property
    def too_late(self) -> Path:
        """The sessions that did not begin because too little time was left, one in each line."""
        return self.path / "too-late.txt"

    @property
    def budgets(self) -> Path:
        """The budgets of this part alone."""
        return self.path / "budget.sqlite"

    @property
    def run(self) -> Path | None:
        """The folder of the part's run, or `None` if it has not begun."""
        link = self.path / LATEST
        return link.resolve() if link.is_dir() else None

    def status(self) -> PartStatus | None:
        """Return what the part says about itself, or `None` if it has said nothing that can be read."""
        try:
            return _read(self.status_file, PartStatus)
        except (OSError, ValueError):
            return None

    def write_status(self, status: PartStatus) -> None:
        """Replace what the part says about itself. Raise `OSError` if that is not possible."""
        private_folder(self.path)
        new = self.status_file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(status) + b"\n")
        new.replace(self.status_file)


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except MALFORMED as error:
        raise ValueError(f"{path}: {error}") from error
