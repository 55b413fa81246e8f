"""The `proctor` command. Each subcommand is a module, which is imported when it is called."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from msgspec import Struct

from harness.characters import tolerate
from harness.commands.errors import BadInput
from harness.lazy import LazyModule
from harness.packaged import harness_version


class Command(Struct, frozen=True):
    """A subcommand: a line of help, and its module, which has `add_arguments(parser)` and `run(given)`."""

    help: str
    module: LazyModule


COMMANDS = {
    "setup": Command(
        "install the pinned CLIs for this user, and check the sandbox", LazyModule("harness.commands.setup")
    ),
    "image": Command(
        "build the image that the sandboxes podman, docker and apptainer use", LazyModule("harness.commands.image")
    ),
    "init": Command("write a small project that runs at once", LazyModule("harness.commands.init")),
    "seed": Command("make the private seed that real models are graded with", LazyModule("harness.commands.seed")),
    "doctor": Command(
        "say what this machine can run, and how to get what is missing", LazyModule("harness.commands.doctor")
    ),
    "grade": Command("grade a program in an environment, without an agent", LazyModule("harness.commands.grade")),
    "decode": Command(
        "read a recorded stream of a CLI and print what happened, as JSON", LazyModule("harness.commands.decode")
    ),
    "report": Command("print the table of a run, and its means over replicates", LazyModule("harness.commands.report")),
    "view": Command(
        "show all runs in a browser on this machine, also while they go on", LazyModule("harness.commands.view")
    ),
    "show": Command("print what happened in a case, turn by turn", LazyModule("harness.commands.show")),
    "diff": Command(
        "show two sessions of a case side by side, from where the agents parted", LazyModule("harness.commands.diff")
    ),
    "replay": Command(
        "play an episode again, compare it with its record, and show it", LazyModule("harness.commands.replay")
    ),
    "launch": Command(
        "run a suite in parts on a cluster, by Slurm, and watch them", LazyModule("harness.commands.launch")
    ),
    "merge": Command(
        "join the results of several runs, such as shards, into a new one", LazyModule("harness.commands.merge")
    ),
    "compare": Command(
        "say what changed between runs, and whether it is worse", LazyModule("harness.commands.compare")
    ),
    "history": Command(
        "show how cases, backends, models and environments went over time", LazyModule("harness.commands.history")
    ),
    "tag": Command("give a run a name to compare with it later", LazyModule("harness.commands.tag")),
    "export": Command(
        "write a run in the forms that other tools read: tables, trajectories, logs, spans",
        LazyModule("harness.commands.export"),
    ),
    "prune": Command("remove old or large runs, or the folders of their cases", LazyModule("harness.commands.prune")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit status: 2 for bad input, 1 if it failed or found something missing.

    Without a subcommand, print the help.
    """
    tolerate(sys.stdout)
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="proctor",
        description="Set up and check this machine, and read the results of runs. To run cases, use `pytest`.",
    )
    parser.add_argument("--version", action="version", version=f"proctor {harness_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    parsers = {}
    for name, command in COMMANDS.items():
        parsers[name] = commands.add_parser(name, help=command.help, description=_sentence(command.help))
        if name in words:  # the other modules need not be imported
            command.module.add_arguments(parsers[name])
    given = parser.parse_args(words)
    if given.command is None:
        parser.print_help()
        return 0
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        status = int(COMMANDS[given.command].module.run(given))
        sys.stdout.flush()
    except BrokenPipeError:  # `proctor report RUN | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        return 128 + signal.SIGPIPE
    except BadInput as error:
        parsers[given.command].error(str(error))
    except OSError as error:
        parsers[given.command].error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("\nproctor: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    return status


def _stop(_number: int, _frame: object) -> NoReturn:
    """End the command in order at SIGTERM: what it started ends, and its temporary folders go."""
    print("\nproctor: stopped by SIGTERM", file=sys.stderr)
    raise SystemExit(128 + signal.SIGTERM)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
