"""`proctor setup`: installs what Proctor needs besides its Python packages, and checks that it works.

It installs the pinned CLIs and the libraries of the page in the user's cache, and bubblewrap. A second call installs
nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from backends.registry import backend, own_names
from harness.agent.cli import CliMissing, find_cli, pinned_clis
from harness.commands.errors import SetupFailed
from harness.commands.installing import bubblewrap, clis, extras, interpreters, page, pip
from harness.environments.interpreters import INTERPRETERS

_EXTRAS = extras.EXTRAS | {
    name: f"{extra.text}, in a virtual environment of its own in your cache" for name, extra in INTERPRETERS.items()
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor setup`."""
    described = "; ".join(f"{name}: {text}" for name, text in _EXTRAS.items())
    parser.add_argument(
        "--extra",
        action="append",
        default=[],
        choices=sorted(_EXTRAS),
        help=f"install this too, in the running Python environment or where the text says (repeatable). {described}",
    )


def run(given: argparse.Namespace) -> int:
    """Run every step, even after one has failed. Return 1 if a step failed."""
    steps: dict[str, Callable[[], str]] = {"clis": _clis, "page": _page, "bubblewrap": _bubblewrap}
    steps |= {f"extra {name}": partial(_extra, name) for name in dict.fromkeys(given.extra)}
    failed = False
    for name, step in steps.items():
        try:
            print(f"ok      {name:16}{step()}", flush=True)
        except SetupFailed as error:
            failed = True
            print(f"FAILED  {name:16}{error}", file=sys.stderr, flush=True)
    return int(failed)


def _clis() -> str:
    try:
        root = pinned_clis()
    except CliMissing as error:
        raise SetupFailed(str(error)) from error
    clis.install(root, _tell)
    pip.install(root, _tell)
    return ", ".join(map(_version, own_names()))


def _version(name: str) -> str:
    """Return the name and version of a CLI. If the user must install it, return how to do that."""
    try:
        return f"{name} {find_cli(backend(name)).version}"
    except CliMissing as error:
        return str(error)


def _page() -> str:
    page.install(_tell)
    return "the libraries of the page"


def _bubblewrap() -> str:
    return f"{bubblewrap.require(_tell)}, seals"


def _extra(name: str) -> str:
    if name in INTERPRETERS:
        return f"installed in {interpreters.install(name, _tell)}"
    extras.install(name, _tell)
    return "installed"


def _tell(text: str) -> None:
    """Print a message before a step that takes some time."""
    print(text, flush=True)
