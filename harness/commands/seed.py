"""`proctor seed`: makes the private key from which the held-out seeds of real models are derived."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from harness.commands.errors import BadInput
from harness.endings import ConfError
from harness.seed_key import VARIABLE, SeedKey, key_file, key_in, make_key, private_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor seed`."""
    parser.add_argument("--show", action="store_true", help="print the key itself, for a secret of your CI")
    parser.add_argument(
        "--new", action="store_true", help="replace the key: results before and after it cannot be compared"
    )


def run(given: argparse.Namespace) -> int:
    """Make the key if there is none, and print where it is and its digest. Raise `BadInput` for a key of no use.

    With `--show`, standard output has the key and nothing else.
    """
    told = sys.stderr if given.show else sys.stdout
    try:
        key = _new(key_file()) if given.new else private_key() or _first(key_file())
    except ConfError as error:
        raise BadInput(str(error)) from error
    print(f"the private seed is in {key.place}; records have its digest, {key.digest}", file=told)
    if given.new and os.environ.get(VARIABLE, "").strip():
        print(f"warning: {VARIABLE} is set, so cases use its key, and not this new one", file=sys.stderr)
    if given.show:
        print(key.reveal())
    return 0


def _first(path: Path) -> SeedKey:
    try:
        return make_key(path)
    except FileExistsError:  # another process was faster, or the path is a broken link
        found = key_in(path)
        if found is None:
            raise ConfError(f"{path} is a link that leads nowhere: remove it, then run `proctor seed`") from None
        return found


def _new(path: Path) -> SeedKey:
    try:
        return make_key(path, replace=True)
    except IsADirectoryError:
        raise ConfError(f"{path} is a folder: move it away, then run `proctor seed`") from None
