"""`proctor grade`: grades any program in an environment, without an agent."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec
from msgspec.structs import replace

from harness.commands.errors import BadInput
from harness.endings import ConfError, Terminated
from harness.environments.interpreters import INTERPRETERS, missing, python_of
from harness.evaluation.policy_python import python_fault
from harness.evaluation.program import GivenProgram, find_program
from harness.lazy import LazyModule
from harness.live.line import LiveLine
from harness.report.grade import grade_lines, graded
from harness.visible import visible

if TYPE_CHECKING:
    from harness import graded_run
else:  # it imports nearly everything
    graded_run = LazyModule("harness.graded_run")

_EXAMPLES = """\
PROGRAM is a folder with an approach.py, a Python file, or a class by its import path, MODULE:CLASS. The program is the
class GeneratedApproach, or the only class there that has reset, and get_action or step. If the folder belongs to a
Python package, the whole package is graded with it, so its modules may import each other by their full names.

  proctor grade my_policy --environment small_maze
  proctor grade src/lab/oracles/push --environment pushpullhook2d --episodes 20
  proctor grade src --policy lab.oracles.push:PushOracle --environment pushpullhook2d

Nothing of the program runs outside a sandbox. The results are kept in a run, as those of pytest are: `proctor show`,
`report`, `replay` and `view` show them.

Exit status: 0 if the program was graded, whatever its solve rate, 1 if it could not be, 2 for bad input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor grade`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument("program", metavar="PROGRAM")
    parser.add_argument("--environment", required=True, metavar="NAME", help="a name in conf/environment, or kinder/ID")
    parser.add_argument("--policy", metavar="[MODULE:]CLASS", help="the class to grade, and its module in the folder")
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="the Python that runs the program, or `worlds` (default: the environment's, which has its packages)",
    )
    parser.add_argument("--episodes", type=_count, metavar="N", help="play N held-out episodes (default: 100)")
    parser.add_argument(
        "--side-by-side", type=_count, metavar="N", help="play N at a time, at most (default: the cores)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the configuration, as with pytest: --set evaluation.seed=1 (repeatable)",
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(given: argparse.Namespace) -> int:
    """Grade the program, and print its result. Return 1 if it could not be graded. Raise `BadInput`."""
    root = Path.cwd()
    try:
        program = find_program(given.program, given.policy, here=root)
        grading = graded_run.GradedRun(
            graded_run.GradeOrder(
                program=_with_python(program, given.python),
                given=given.program,
                environment=given.environment,
                settings=_settings(given),
                root=root,
                runs=given.runs_dir,
            )
        )
    except (ConfError, ValueError) as error:
        raise BadInput(visible(str(error))) from error
    _require_apart(program, grading.folder)
    with _terminal() as terminal, _told_to_stop():
        live = LiveLine(terminal)
        try:
            record = grading.grade(live)
        finally:
            live.clear()
    found = graded(record, grading.folder)
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print("\n".join(map(visible, grade_lines(found))))
    for fault in grading.faults:
        print(visible(f"proctor: {fault}"), file=sys.stderr)
    return 0 if found.episodes else 1


def _settings(given: argparse.Namespace) -> list[str]:
    """Return the settings of the command line. An option comes after `--set`, so it wins."""
    options = {"evaluation.episodes": given.episodes, "evaluation.side_by_side": given.side_by_side}
    return [*given.set, *(f"{key}={value}" for key, value in options.items() if value is not None)]


def _with_python(program: GivenProgram, python: str | None) -> GivenProgram:
    """Return the program with the Python that runs it. Raise `BadInput` if there is no such Python."""
    if python is None:
        return program
    if python in INTERPRETERS and (fault := missing(python)):
        raise BadInput(f"--python {python}: {fault}")
    path = Path(python_of(python)).expanduser().absolute()
    if fault := python_fault(str(path)):
        raise BadInput(f"--python {python}: {path} cannot run programs: {fault}")
    return replace(program, entry=replace(program.entry, python=str(path)))


def _require_apart(program: GivenProgram, run: Path) -> None:
    folder = program.root / program.part
    if run.resolve().is_relative_to(folder.resolve()):
        raise BadInput(
            f"{folder} also holds the run, {run}: put the program in a folder of its own, or keep the run elsewhere "
            "with --runs-dir FOLDER"
        )


@contextmanager
def _terminal() -> Iterator[int | None]:
    """Yield the descriptor of the terminal that shows the progress: standard error, if that is one."""
    yield sys.stderr.fileno() if sys.stderr.isatty() else None


@contextmanager
def _told_to_stop() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does, so that it is recorded."""

    def stop(_number: int, _frame: object) -> NoReturn:
        raise Terminated("stopped by SIGTERM")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
