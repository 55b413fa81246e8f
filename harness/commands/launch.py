"""`proctor launch`: runs a suite in parts on a cluster, and watches them."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.arguments import at_least_one, walltime
from harness.commands.errors import BadInput
from harness.commands.merge import project_secrets
from harness.endings import ConfError
from harness.lazy import LazyModule
from harness.live.board import duration
from harness.results.history import refresh
from harness.results.history_index import HistoryError
from harness.results.references import find_run
from harness.results.runs import RunError
from harness.visible import visible

if TYPE_CHECKING:
    from harness.launch import ending, files, launching, queue, slurm, watching
    from harness.launch.files import LaunchFolder, LaunchPlan
else:  # they load Hydra, and the extra `cluster`
    ending = LazyModule("harness.launch.ending")
    files = LazyModule("harness.launch.files")
    launching = LazyModule("harness.launch.launching")
    queue = LazyModule("harness.launch.queue")
    slurm = LazyModule("harness.launch.slurm")
    watching = LazyModule("harness.launch.watching")

_EXAMPLES = """\
  proctor launch --suite nightly --cluster slurm --nodes 4 --gpus-per-node 2 --partition gpu --time 12h
  proctor launch --suite nightly --cluster slurm --nodes 4 --dry-run
  proctor launch --attach last
  proctor launch --cancel last

The board may be closed at any time, by Ctrl-C too: the parts go on, and `--attach` shows it again. docs/cluster.md says
how parts are planned, how they go on after a node has died, and what budgets do.

Exit status: 0 if all cases have run and none has failed, 1 if one has failed or is missing, 2 for bad input, 130 after
Ctrl-C.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor launch`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--attach", metavar="RUN", help="show the board of this run again: its folder or name, or last")
    what.add_argument("--cancel", metavar="RUN", help="end all parts of this run; their finished cases are kept")
    what.add_argument("--dry-run", action="store_true", help="print the plan, and submit nothing")
    parser.add_argument("--cluster", choices=("slurm", "local"), help="where the parts run; local: on this machine")
    parser.add_argument("--suite", metavar="NAME", default="default", help="default: default")
    for option in ("--backend", "--model", "--environment"):
        parser.add_argument(option, action="append", default=[], metavar="NAME", help="as with pytest (repeatable)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as with pytest (repeatable)")
    parser.add_argument("--require-all", action="store_true", help="as with pytest")
    parser.add_argument(
        "--nodes", type=at_least_one, metavar="N", help="the number of parts (default: one for each model server)"
    )
    parser.add_argument("--gpus-per-node", type=int, default=0, metavar="G", help="GPUs for each part (default: 0)")
    parser.add_argument("--partition", metavar="NAME", help="the partition of Slurm")
    parser.add_argument(
        "--time", type=walltime, default=12 * 3600.0, metavar="TIME", help="the time limit of a job (default: 12h)"
    )
    parser.add_argument(
        "--slurm", action="append", default=[], metavar="KEY=VALUE", help="any option of sbatch: mem=64G (repeatable)"
    )
    parser.add_argument("-n", dest="workers", metavar="N", help="pytest workers of each part (default: auto)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


def run(given: argparse.Namespace) -> int:
    """LaunchPlan a run, or attach to one, or cancel it. Raise `BadInput`."""
    if given.attach is not None:
        return _watch(_found(given.attach, given.runs_dir))
    if given.cancel is not None:
        return _cancel(_found(given.cancel, given.runs_dir))
    if given.cluster is None:
        raise BadInput("--cluster says where the parts run: slurm, or local for this machine")
    if find_spec("submitit") is None and not given.dry_run:
        raise BadInput("submitit is not in this environment: run `proctor setup --extra cluster`")
    try:
        launch = launching.planned(_wish(given))
    except (ConfError, OSError) as error:
        raise BadInput(visible(str(error))) from error
    print("\n".join(map(visible, _plan_lines(launch))), flush=True)
    if given.dry_run:
        return 0
    try:
        folder = launching.start(launch)
    except launching.SubmissionError as error:
        said = [visible(line) for line in str(error).splitlines()]
        print("\n".join(["proctor: the jobs were not submitted:", *said]), file=sys.stderr)
        return 1
    print(visible(f"run: {folder.path}"), flush=True)
    return _watch(folder)


def _wish(given: argparse.Namespace) -> launching.Wish:
    options = dict[str, str]({"partition": given.partition} if given.partition else {})
    for word in given.slurm:
        name, equals, value = word.lstrip("-").partition("=")
        if not (name and equals and value) or not value.isprintable():
            raise BadInput(f"--slurm {word}: write KEY=VALUE, such as mem=64G")
        options[name] = value
    if options and given.cluster == "local":
        raise BadInput(f"--cluster local knows no {', '.join(options)}: these are options of Slurm")
    if given.gpus_per_node < 0:
        raise BadInput(f"--gpus-per-node {given.gpus_per_node}: this is not a number of GPUs")
    return launching.Wish(
        suite=given.suite,
        cluster=given.cluster,
        root=Path.cwd(),
        runs=given.runs_dir.resolve(),
        nodes=given.nodes,
        backends=tuple(dict.fromkeys(given.backend)),
        models=tuple(dict.fromkeys(given.model)),
        environments=tuple(dict.fromkeys(given.environment)),
        settings=tuple(given.set),
        require_all=given.require_all,
        workers=given.workers,
        gpus_per_node=given.gpus_per_node,
        time_s=given.time,
        options=options,
    )


def _plan_lines(launch: LaunchPlan) -> list[str]:
    """Return the plan, for people."""
    lines = [
        f"suite {launch.suite}: {sum(len(part.cases) for part in launch.parts)} cases in {len(launch.parts)} parts"
    ]
    for part in launch.parts:
        servers = f", {', '.join(part.servers)}" if part.servers else ""
        gpus = f", {part.gpus} GPUs for a model" if part.gpus else ""
        takes = f", {duration(part.expected_s)} of work" if part.expected_s else ""
        lines.append(f"  part {part.index}: {len(part.cases)} cases{servers}{gpus}{takes}")
    asked = launch.resources
    told = [f"{name}={value}" for name, value in asked.options.items()]
    each = [f"time {duration(asked.time_s)}", *([f"{asked.gpus_per_node} GPUs"] if asked.gpus_per_node else []), *told]
    lines.append(f"each job on {launch.cluster}: {', '.join(each)}, {launch.workers} pytest workers")
    if launch.sharing != "none":
        how = "in one file for all parts" if launch.sharing == "shared" else "by equal shares"
        lines.append(f"budgets that cases share are kept {how} ({launch.why})")
    return lines


def _found(reference: str, runs: Path) -> LaunchFolder:
    """Return the folder of a launched run. Raise `BadInput` if there is none."""
    try:
        folder = files.LaunchFolder(find_run(reference, runs))
        plan, jobs = folder.read(), folder.jobs()
    except FileNotFoundError as error:
        raise BadInput(
            visible(f"{reference}: no job of `proctor launch` belongs to it: {error.filename} is missing")
        ) from error
    except (RunError, OSError, ValueError) as error:
        raise BadInput(visible(str(error))) from error
    if plan.cluster == "local" and jobs.host != socket.gethostname():
        raise BadInput(visible(f"{folder.path.name} runs on {jobs.host}: call this there"))
    return folder


def _watch(folder: LaunchFolder) -> int:
    """Show the board until no part goes on. Return the exit status."""
    screen = watching.Screen()
    try:
        watch = watching.Watch(folder, project_secrets(Path(folder.read().root)))
        views = watch.until_over(screen.show)
    except KeyboardInterrupt:
        name = folder.path.name
        print(f"\nThe parts go on. `proctor launch --attach {name}` shows them, `--cancel {name}` ends them.")
        return 128 + signal.SIGINT
    screen.clear()
    if watch.fault:
        print(visible(f"proctor: {watch.fault}"), file=sys.stderr)
    try:
        lines, status = ending.closing_lines(folder.path, views)
    except RunError as error:
        raise BadInput(visible(str(error))) from error
    print("\n".join(map(visible, lines)))
    with suppress(HistoryError):  # `proctor history` makes up for it
        refresh(folder.path.parent)
    return status


def _cancel(folder: LaunchFolder) -> int:
    """End all parts, and wait until they have ended."""
    folder.mark_cancelled()
    try:
        queue.cancel(folder.read(), folder.jobs())
    except slurm.SlurmError as error:
        print(visible(f"proctor: {error}; the parts end by themselves as soon as they see that"), file=sys.stderr)
    return _watch(folder)
