"""Another project in an environment where Proctor is installed. Its tests do not use Proctor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import warm
from tests.support.project import ROOT

_METADATA = "Metadata-Version: 2.1\nName: proctor\nVersion: 0\n"
_ENTRY_POINTS = "[pytest11]\nproctor = harness.plugin\n"


class Elsewhere:
    """A folder with tests, and beside it Proctor's pytest entry point, as an installer writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "elsewhere"
        self.folder.mkdir()
        self._site = folder / "site"
        info = self._site / "proctor-0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(_METADATA)
        (info / "entry_points.txt").write_text(_ENTRY_POINTS)

    def write(self, name: str, text: str) -> None:
        """Add or replace a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def files(self) -> set[str]:
        """All files and folders except the ones that Python compiled."""
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return {str(path) for path in paths if "__pycache__" not in path.parts}

    def command(self, *arguments: str, proctor: bool = True) -> list[str]:
        """Return the command line of pytest with these arguments, with or without Proctor's plugin."""
        others = ["-p", "no:hydra_pytest", "-p", "no:anyio", "-p", "no:cacheprovider"]
        without = [] if proctor else ["-p", "no:proctor"]
        return [sys.executable, "-m", "pytest", *others, *without, *arguments]

    @property
    def variables(self) -> dict[str, str]:
        """The environment of that command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        return kept | {"PYTHONPATH": os.pathsep.join([str(self._site), str(ROOT)])}

    def pytest(self, *arguments: str, proctor: bool = True) -> subprocess.CompletedProcess[str]:
        """Run pytest to its end."""
        return warm.run(self.command(*arguments, proctor=proctor), self.folder, self.variables)

    def pytest_in_new_python(self, *arguments: str, proctor: bool = True) -> subprocess.CompletedProcess[str]:
        """Run pytest to its end in a Python that has loaded nothing yet."""
        return warm.run_in_new_python(self.command(*arguments, proctor=proctor), self.folder, self.variables)
