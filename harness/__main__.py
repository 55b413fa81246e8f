"""`python -m harness doctor | decode | report | merge`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from backends.registry import names
from harness.commands.decode import decode_file
from harness.commands.doctor import doctor
from harness.commands.runs import merge_runs, report
from harness.results.runs import RunError


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; the exit status is 2 for bad usage, 1 for bad news."""
    parser = argparse.ArgumentParser(prog="python -m harness", description="Proctor's tools beside pytest.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="say what this machine can run, and how to get what is missing")
    decode = commands.add_parser("decode", help="read a recorded stream of a CLI and print what happened, as JSON")
    decode.add_argument("backend", choices=names())
    decode.add_argument("file", help="the recorded standard output; - for standard input")
    decode.add_argument("--exit-code", type=int, metavar="N", help="the CLI's exit code, if known")
    decode.add_argument("--stderr", type=Path, metavar="FILE", help="the CLI's recorded standard error")
    of_run = commands.add_parser("report", help="print the table of a run")
    of_run.add_argument("run", type=Path, metavar="RUN", help="its folder (runs/latest) or its results.jsonl")
    of_run.add_argument("--markdown", action="store_true", help="as a summary in Markdown, for a CI job's page")
    merging = commands.add_parser("merge", help="join the results of several runs, such as shards, into a new one")
    merging.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="the folder of a run")
    merging.add_argument("--into", type=Path, metavar="FOLDER", help="default: runs/TIME-SUITE-merged")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    if given.command == "doctor":
        return doctor()
    try:
        if given.command == "report":
            return report(given.run, markdown=given.markdown)
        if given.command == "merge":
            return merge_runs(given.runs, given.into)
        result = decode_file(given.backend, given.file, exit_code=given.exit_code, stderr=given.stderr)
    except (RunError, ValueError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    print(json.dumps(result, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
