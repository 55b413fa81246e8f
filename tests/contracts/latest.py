"""Tests the newest CLIs against the contract: `make contract-latest`, and `make bump CLI=NAME`.

The newest versions are installed in `backends/cli-latest/`, which git ignores. The report compares them with the pinned
versions: clauses that fail, event types and fields that are new or gone, and changed requests to the model. `--bump
NAME` also raises the pin of one CLI, and writes the report into a file that can be the commit's message.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from backends.base import Backend, NpmPackage
from backends.registry import backend, names
from harness.agent.cli import find_cli
from harness.commands.installing.start import require_start
from harness.packaged import cli_pins
from tests.contracts import rich
from tests.contracts.changes import changed_request, changed_shapes
from tests.support.sessions import Stage

MANIFESTS = cli_pins()
LATEST = MANIFESTS.with_name("cli-latest")
ROOT = MANIFESTS.parents[1]

_FAILED = re.compile(r"^(?:FAILED|ERROR) \S+?::(\S+)", re.MULTILINE)


def main() -> int:
    """Install, compare, and raise a pin if asked to. Return the exit status: 1 if a clause fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.latest", description=__doc__)
    parser.add_argument(
        "backends", nargs="*", choices=[[], *names()], help="backends to compare (default: all from npm)"
    )
    parser.add_argument("--bump", choices=names(), metavar="NAME", help="the backend whose pin to raise")
    given = parser.parse_args()
    everyone = [name for name in names() if isinstance(backend(name).installation, NpmPackage)]
    wanted = [backend(name) for name in ([given.bump] if given.bump else given.backends or everyone)]
    for adapter in wanted:
        _install(adapter)
    failed = False
    for adapter in wanted:
        clauses, report = _report(adapter)
        failed = failed or bool(clauses)
        print(report)
        if given.bump and find_cli(adapter, LATEST).version != find_cli(adapter).version:
            _bump(adapter, report)
    return int(failed)


def _package(adapter: Backend) -> NpmPackage:
    """Return the npm package of the CLI. Exit with a message if the CLI is installed in another way."""
    if isinstance(adapter.installation, NpmPackage):
        return adapter.installation
    sys.exit(f"{adapter.name}: only npm packages can be compared; raise the pin by hand, then run `make contract`")


def _install(adapter: Backend) -> None:
    """Install the newest version of the CLI, and the Node.js that its pins name."""
    npm = _package(adapter)
    folder = LATEST / npm.executable
    folder.mkdir(parents=True, exist_ok=True)
    pinned = json.loads((MANIFESTS / npm.executable / "package.json").read_text())["dependencies"]
    newest = pinned | {npm.package: "latest"}
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": newest}))
    _npm(folder, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    require_start(find_cli(adapter, LATEST), npm.executable)  # some unpack themselves then


def _npm(folder: Path, *arguments: str) -> None:
    ran = subprocess.run(["npm", *arguments], cwd=folder, check=False)  # noqa: S607 - found on PATH, as make finds it
    if ran.returncode:
        sys.exit(f"`npm {' '.join(arguments)}` failed in {folder}: see its output above")


def _report(adapter: Backend) -> tuple[list[str], str]:
    """Return the clauses that the newest version breaks, and the text of the report."""
    pinned, newest = find_cli(adapter).version, find_cli(adapter, LATEST).version
    title = f"{adapter.name}: {_package(adapter).package} {pinned} -> {newest}"
    if pinned == newest:
        return [], f"{adapter.name}: {_package(adapter).package} {pinned} is the newest\n"
    clauses = _broken_clauses(adapter)
    with TemporaryDirectory(prefix="contract-") as scratch:
        old = _play(adapter, None, Path(scratch) / "pinned")
        new = _play(adapter, LATEST, Path(scratch) / "newest")
        shapes = changed_shapes(old.played.stream, new.played.stream)
        request = changed_request(old.played.requests[0].body, new.played.requests[0].body)
    parts = {
        "Clauses that fail": clauses,
        "Events: types and fields": shapes,
        "What it sends its model (system prompt, tools)": request,
    }
    lines = [title, ""]
    for heading, found in parts.items():
        lines += [f"{heading}:", *(f"  {line}" for line in found or ["none" if found is clauses else "no change"]), ""]
    return clauses, "\n".join(lines)


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
        raise RuntimeError(f"the contract could not run: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return found


def _bump(adapter: Backend, report: str) -> None:
    """Write the new pin and its lock, and the report as a commit message."""
    npm, version = _package(adapter), find_cli(adapter, LATEST).version
    manifest = MANIFESTS / npm.executable / "package.json"
    content = json.loads(manifest.read_text())
    content["dependencies"][npm.package] = version
    manifest.write_text(json.dumps(content, indent=2) + "\n")
    _npm(manifest.parent, "install", "--package-lock-only", "--omit-lockfile-registry-resolved", "--loglevel=error")
    _npm(manifest.parent, "ci", "--dry-run", "--no-audit", "--no-fund", "--loglevel=error")
    message = LATEST / f"bump-{adapter.name}.txt"
    message.write_text(f"Raise {report}")
    print(f"pinned {npm.package} {version}; now `make setup`, `make corpus ARGS='--backend {adapter.name}'`, and")
    print(f"git commit -F {message.relative_to(ROOT)} backends/cli tests/corpus")


if __name__ == "__main__":
    sys.exit(main())
