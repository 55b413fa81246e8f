"""`proctor setup`: installs what Proctor needs besides its Python packages, and checks that it works.

It installs pinned CLIs and the libraries of the page in the user's cache, and bubblewrap. A second call installs
nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from backends.registry import backend
from harness.agent.cli import CliMissing
from harness.commands.errors import SetupFailed
from harness.commands.installing import bubblewrap, clis, extras, interpreters, page
from harness.environments.interpreters import INTERPRETERS

_EXTRAS = extras.EXTRAS | {
    name: f"{extra.text}, in a virtual environment of its own in your cache" for name, extra in INTERPRETERS.items()
}

_ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor setup`."""
    parser.add_argument(
        "--backend",
        action="append",
        default=[],
        choices=[*clis.pinned_backends(), _ALL],
        help="install the CLI of this backend (repeatable), or of all. Without this option, those of "
        f"{' and '.join(clis.DEFAULT)}. Another CLI is installed when a case first needs it",
    )
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
    steps: dict[str, Callable[[], str]] = {f"cli {name}": partial(_cli, name) for name in _wanted(given.backend)}
    steps |= {"page": _page, "bubblewrap": _bubblewrap}
    steps |= {f"extra {name}": partial(_extra, name) for name in dict.fromkeys(given.extra)}
    failed = False
    for name, step in steps.items():
        try:
            print(f"ok      {name:16}{step()}", flush=True)
        except SetupFailed as error:
            failed = True
            print(f"FAILED  {name:16}{error}", file=sys.stderr, flush=True)
    return int(failed)


def _wanted(given: list[str]) -> tuple[str, ...]:
    """Return the backends whose CLIs to install: those given, or else the default ones."""
    return clis.pinned_backends() if _ALL in given else tuple(dict.fromkeys(given or clis.DEFAULT))


def _cli(name: str) -> str:
    try:
        return f"{name} {clis.install(backend(name), _tell).version}"
    except CliMissing as error:
        raise SetupFailed(str(error)) from error


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
