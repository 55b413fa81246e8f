"""`proctor show`: prints what happened in a case, turn by turn."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.characters import printable
from harness.commands.chosen import chosen, transcripts
from harness.commands.errors import BadInput
from harness.report.table import shown
from harness.results.record import Record, UsageTotals
from harness.results.references import find_run
from harness.results.runs import RunError, read_run
from harness.transcript.text import TextLine, coloured, transcript_lines

_MOST_LINES = 40
"""How many lines of a text are shown without `--full`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor show`."""
    parser.add_argument("run", metavar="RUN", help="the run's folder or name, its results.jsonl, last or tag:NAME")
    parser.add_argument("case", metavar="CASE", help="the id of the case, or a part of it that only one case has")
    parser.add_argument("--attempt", type=int, metavar="N", help="only this attempt (default: all)")
    parser.add_argument("--full", action="store_true", help=f"show texts of more than {_MOST_LINES} lines to their end")
    parser.add_argument("--prompt", action="store_true", help="show the prompt and the instructions too")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


def run(given: argparse.Namespace) -> int:
    """Print the transcript, page by page on a terminal. Raise `BadInput`."""
    try:
        reference = find_run(given.run, given.runs_dir)
        folder, records = read_run(reference)
    except RunError as error:
        raise BadInput(str(error)) from error
    record = chosen(records, given.case, folder)
    found = transcripts(record, folder)
    if given.attempt is not None:
        found = [one for one in found if one.attempt == given.attempt]
        if not found:
            raise BadInput(f"{record.case.id} has no attempt {given.attempt}: it has {len(record.attempts)}")
    lines = [*_heading(record, folder)]
    for transcript in found:
        lines += [TextLine(""), TextLine(f"=== Attempt {transcript.attempt}", "bold")] if len(found) > 1 else []
        if given.prompt:
            lines += _text("prompt", transcript.prompt) + _text("instructions", transcript.instructions)
        lines += transcript_lines(transcript, None if given.full else _MOST_LINES)
    if not found:
        lines.append(TextLine("There is no transcript: the case left no stream of a CLI.", "dim"))
    print_paged(lines)
    return 0


def print_paged(lines: Iterable[TextLine]) -> None:
    """Print lines. On a terminal they have colours, unless NO_COLOR is set, and go through the pager."""
    on_terminal = sys.stdout.isatty()
    colours = on_terminal and not os.environ.get("NO_COLOR")
    texts = (TextLine(printable(line.text), line.colour) for line in lines)
    whole = "\n".join(coloured(line) if colours else line.text for line in texts)
    pager = _pager()
    if not on_terminal or not pager:
        print(whole)
        return
    variables = {"LESS": "-FRX"} | os.environ
    subprocess.run(pager, input=whole.encode("utf-8", "replace"), env=variables, check=False)


def _pager() -> list[str]:
    """Return the command of the user's pager, or of less. It is empty if there is no such program."""
    try:
        command = shlex.split(os.environ.get("PAGER") or "less")
    except ValueError:  # a quote is not closed
        return []
    return command if command and shutil.which(command[0]) else []


def _heading(record: Record, run: Path) -> Iterator[TextLine]:
    score, used = record.score, record.usage.metered or record.usage.reported
    graded = f", solve rate {score.solve_rate:.2f} ({score.solved} of {score.episodes} episodes)" if score else ""
    yield TextLine(f"{record.case.id}: {record.outcome}{graded}", "bold")
    yield TextLine(f"{record.ending} ({record.cause}): {record.explanation}")
    if used:
        yield TextLine(_usage(used, record.timing.total_s))
    yield from (TextLine(f"warning: {warning}", "yellow") for warning in record.warnings)
    if record.artifacts:
        yield TextLine(f"files: {run / record.artifacts}", "dim")


def _usage(used: UsageTotals, seconds: float | None) -> str:
    told = [f"{used.turns} turns", f"{shown(used.tool_calls, 'd')} tool calls"]
    told += [f"{shown(used.input_tokens, ',d')} + {shown(used.output_tokens, ',d')} tokens"]
    told += [] if used.cost_usd is None else [f"${used.cost_usd:.4f}"]
    return ", ".join([*told, *([] if seconds is None else [f"{seconds:.1f} s"])])


def _text(title: str, text: str | None) -> list[TextLine]:
    if text is None:
        return []
    return [TextLine(""), TextLine(f"--- {title}", "bold"), *map(TextLine, text.splitlines())]
