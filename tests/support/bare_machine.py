"""A machine on which nothing is installed yet, for tests of the set-up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from backends.base import NpmPackage, PipPackage
from backends.registry import backend, names
from harness.agent.cli import pinned_clis, pinned_version
from harness.commands.installing import pip
from harness.page.library_files import missing_libraries

NPM = r"""test "$1" = ci && test -f package.json && test -f package-lock.json || exit 99
case "$NPM_DOES" in "fail "*) echo "${{NPM_DOES#fail }}" >&2; exit 1 ;; esac
if grep -q proctor-page package.json; then exec cp -r {modules}-page node_modules; fi
echo "$@" >> {log}
cli=$(sed -n 's/.*"proctor-cli-\([a-z]*\)".*/\1/p' package.json)
cp -r {modules}/$cli node_modules
test "$NPM_DOES" != break || for cli in node_modules/.bin/*; do
    printf '#!/bin/sh\necho no binary >&2; exit 1\n' > $cli
done
test "$NPM_DOES" != hang || exec sleep 600
"""
"""A stand-in for npm and its registry: `ci` installs small CLIs that print their pinned versions, or empty libraries.

`NPM_DOES` selects another behaviour: `fail TEXT`, `break` (the CLIs do not start) or `hang`.
"""

PYTHON = r"""test "$1 $2" = "-m venv" || exit 99
mkdir -p "$3/bin" && cli=$(basename "$3" | sed 's/-[^-]*$//')
printf '#!/bin/sh\ncp -rT {served}/%s %s\n' $cli "$3" > "$3/bin/python" && chmod +x "$3/bin/python"
"""
"""A stand-in for Python and its package index: its environments have a pip that installs the CLIs they are for."""


class BareMachine:
    """A user's machine: only the test's programs on PATH, and an empty cache."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self._log = folder / "npm.log"
        self._patch = patch
        _write_clis(folder / "served")
        _write_libraries(folder / "served-page")
        self.sets("XDG_CACHE_HOME", folder / "cache")
        self.sets("PATH", f"{self.bin}:{os.environ['PATH']}")
        self.has("node", "echo v22.1.0")
        self.has("npm", NPM.format(log=self._log, modules=folder / "served"))
        self.has("python-of-proctor", PYTHON.format(served=folder / "served"))
        patch.setattr(pip, "sys", SimpleNamespace(executable=str(self.bin / "python-of-proctor")))

    def sets(self, variable: str, value: object) -> None:
        self._patch.setenv(variable, str(value))

    def has(self, program: str, script: str) -> None:
        path = self.bin / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def has_only(self, *programs: str) -> None:
        """Remove everything but these from PATH."""
        for path in self.bin.iterdir():
            if path.name not in programs:
                path.unlink()
        self.sets("PATH", self.bin)

    @property
    def npm_calls(self) -> int:
        return len(self._log.read_text().splitlines()) if self._log.exists() else 0

    @property
    def left(self) -> set[str]:
        """The content of the CLIs' cache, without the lock files."""
        folder = pinned_clis()
        return {path.name for path in folder.iterdir() if path.suffix != ".lock"} if folder.exists() else set()


def _write_clis(served: Path) -> None:
    for installation in (backend(name).installation for name in names()):
        if isinstance(installation, NpmPackage):
            _write_npm(installation, served / installation.executable)
        elif isinstance(installation, PipPackage):
            _write_pip(installation, served / installation.executable)


def _write_npm(npm: NpmPackage, modules: Path) -> None:
    version, package = pinned_version(npm), modules / npm.package
    package.mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"version": version}))
    _write_program(package / "cli", version)
    (modules / ".bin").mkdir()
    (modules / ".bin" / npm.executable).symlink_to(f"../{npm.package}/cli")


def _write_pip(package: PipPackage, folder: Path) -> None:
    version = pinned_version(package)
    info = folder / f"lib/python3/site-packages/{package.package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.package}\nVersion: {version}\n")
    (folder / "bin").mkdir()
    _write_program(folder / "bin" / package.executable, version)


def _write_program(path: Path, version: str | None) -> None:
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)


def _write_libraries(modules: Path) -> None:
    for name in missing_libraries(modules):
        (modules / name).parent.mkdir(parents=True)
        (modules / name).touch()
