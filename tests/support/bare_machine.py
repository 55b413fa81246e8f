"""A machine on which nothing is installed yet, for tests of the set-up."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backends.base import NpmPackage
from backends.registry import backend, names
from harness.agent.cli import pinned_clis, pinned_version
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
"""A stand-in for npm and the registry: `ci` installs small CLIs that print their pinned versions, or empty libraries.

`NPM_DOES` selects another behaviour: `fail TEXT`, `break` (the CLIs do not start) or `hang`.
"""


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
    for npm in (backend(name).installation for name in names()):
        if isinstance(npm, NpmPackage):
            version = pinned_version(npm)
            modules = served / npm.executable
            (modules / ".bin").mkdir(parents=True)
            (package := modules / npm.package).mkdir(parents=True)
            (package / "package.json").write_text(json.dumps({"version": version}))
            (package / "cli").write_text(f"#!/bin/sh\necho {version}\n")
            (package / "cli").chmod(0o755)
            (modules / ".bin" / npm.executable).symlink_to(f"../{npm.package}/cli")


def _write_libraries(modules: Path) -> None:
    for name in missing_libraries(modules):
        (modules / name).parent.mkdir(parents=True)
        (modules / name).touch()
