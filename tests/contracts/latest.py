"""Tests the newest CLIs against the contract: `make contract-latest`, and `make bump CLI=NAME`.

The newest versions are installed in `backends/cli-latest/`, which git ignores. The report compares them with the pinned
versions: clauses that fail, event types and fields that are new or gone, and changed requests to the model. It is
printed, and left in `backends/cli-latest/report.md` with a table of all. `--bump NAME` also raises the pin of one CLI,
and writes the report into a file that can be the commit's message.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from backends.base import Backend, NpmPackage, PipPackage
from backends.registry import backend, names
from harness.agent.cli import find_cli
from harness.commands.errors import SetupFailed
from tests.contracts import newest, rich
from tests.contracts.changes import changed_request, changed_shapes
from tests.contracts.latest_report import Compared, details, report, table
from tests.contracts.newest import LATEST
from tests.support.project import ROOT
from tests.support.sessions import Stage

REPORT = LATEST / "report.md"

_FAILED = re.compile(r"^(?:FAILED|ERROR) \S+?::(\S+)", re.MULTILINE)


def main() -> int:
    """Install, compare, and raise a pin if asked to. Return the exit status: 1 if one fails, or cannot be tried."""
    everyone = [name for name in names() if _package(backend(name))]
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.latest", description=__doc__)
    parser.add_argument("backends", nargs="*", choices=[[], *everyone], help="backends to compare (default: all)")
    parser.add_argument("--bump", choices=everyone, metavar="NAME", help="the backend whose pin to raise")
    given = parser.parse_args()
    compared = []
    for name in [given.bump] if given.bump else given.backends or everyone:
        compared.append(_compare(backend(name)))
        print(details(compared[-1]), flush=True)
    LATEST.mkdir(exist_ok=True)
    REPORT.write_text(report(compared))
    print(table(compared))
    if given.bump:
        _bump(backend(given.bump), compared[0])
    return int(not all(one.good for one in compared))


def _package(adapter: Backend) -> NpmPackage | PipPackage | None:
    """Return the package of the CLI, or `None` if it is installed in another way."""
    package = adapter.installation
    return package if isinstance(package, NpmPackage | PipPackage) else None


def _compare(adapter: Backend) -> Compared:
    """Install the newest version of a CLI and compare it with the pinned one."""
    package = _package(adapter)
    assert package is not None, "the parser offers no other"
    name, pinned = adapter.name, find_cli(adapter).version
    try:
        found = newest.install(package).version
    except SetupFailed as error:
        return Compared(backend=name, package=package.package, pinned=pinned, fault=str(error))
    if found == pinned:
        return Compared(backend=name, package=package.package, pinned=pinned, newest=found)
    try:
        clauses = _broken_clauses(adapter)
        shapes, request = _changes(adapter)
    except _NotTried as error:
        return Compared(backend=name, package=package.package, pinned=pinned, newest=found, fault=str(error))
    return Compared(
        backend=name,
        package=package.package,
        pinned=pinned,
        newest=found,
        clauses=clauses,
        shapes=shapes,
        request=request,
    )


class _NotTried(Exception):
    """The newest version could not be tried. The message says why."""


def _changes(adapter: Backend) -> tuple[list[str], list[str]]:
    """Return the changes in the stream, and in the first request to the model."""
    with TemporaryDirectory(prefix="contract-") as scratch:
        old = _play(adapter, None, Path(scratch) / "pinned")
        new = _play(adapter, LATEST, Path(scratch) / "newest")
    for version, session in (("pinned", old), ("newest", new)):
        if not session.played.requests:
            raise _NotTried(f"the {version} version asked its model nothing: {session.played.result.explanation}")
    request = changed_request(old.played.requests[0].body, new.played.requests[0].body)
    return changed_shapes(old.played.stream, new.played.stream), request


def _play(adapter: Backend, clis: Path | None, folder: Path) -> rich.Rich:
    with Stage(clis) as stage:
        return rich.play(stage, adapter, folder)


def _broken_clauses(adapter: Backend) -> list[str]:
    """Run the contract on the newest version of one CLI. Return the clauses that it breaks."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", "-n", "2"]
    command += ["--dist", "loadgroup", "-m", "contract", "-k", adapter.name, "tests/contracts"]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PROCTOR_CLIS": str(LATEST)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [clause for clause in _FAILED.findall(ran.stdout) if re.search(rf"\[{adapter.name}\b", clause)]
    if ran.returncode and not found:
        raise _NotTried(f"the contract could not run: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return found


def _bump(adapter: Backend, compared: Compared) -> None:
    """Raise the pin if there is a newer version, and write the report as a commit message."""
    package = _package(adapter)
    if package is None or compared.newest in {None, compared.pinned}:
        return
    message = LATEST / f"bump-{adapter.name}.txt"
    message.write_text(f"Raise {details(compared)}")
    newest.raise_pin(package, str(compared.newest))
    print(f"pinned {package.package} {compared.newest}")
    print(f"now `make setup`, `make corpus ARGS='--backend {adapter.name}'`, and")
    print(f"git commit -F {message.relative_to(ROOT)} backends/cli tests/corpus")


if __name__ == "__main__":
    sys.exit(main())
