"""`python -m harness doctor | decode`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from backends.registry import names
from harness.decode import decode_file
from harness.doctor import doctor


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
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    if given.command == "doctor":
        return doctor()
    try:
        result = decode_file(given.backend, given.file, exit_code=given.exit_code, stderr=given.stderr)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    print(json.dumps(result, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
