"""The files of one case. Their names are part of the published format: see docs/records.md."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct


def case_in(folder: str, cases: Container[str]) -> str:
    """Return the id of the case that a folder in a run belongs to. `cases` are the ids of the run's cases."""
    return folder if folder in cases else folder.rpartition(".")[0]


class CaseFolder(Struct, frozen=True):
    """The layout of the case's folder at `path`, inside the folder of its run. Making this object writes nothing."""

    path: Path

    @property
    def stream(self) -> Path:
        """The CLI's standard output, byte for byte."""
        return self.path / "stream.jsonl"

    @property
    def stderr(self) -> Path:
        """The CLI's standard error."""
        return self.path / "stderr.log"

    @property
    def ledger(self) -> Path:
        """The gateway's ledger: one line for each model request."""
        return self.path / "gateway.jsonl"

    @property
    def prompt(self) -> Path:
        """The prompt, as it was sent to the CLI."""
        return self.path / "prompt.md"

    @property
    def instructions(self) -> Path:
        """The standing instructions, as the CLI got them."""
        return self.path / "instructions.md"

    @property
    def workspace(self) -> Path:
        """The agent's working directory."""
        return self.path / "workspace"

    @property
    def home(self) -> Path:
        """The agent's home directory. It is kept only when the session left nothing to grade."""
        return self.path / "home"

    @property
    def renders(self) -> Path:
        """The pictures that the MCP tools drew."""
        return self.path / "renders"

    @property
    def submission(self) -> Path:
        """The files that were graded."""
        return self.path / "submission"

    @property
    def episodes(self) -> Path:
        """One line for each held-out episode."""
        return self.path / "episodes.jsonl"

    @property
    def policy_log(self) -> Path:
        """What the submission printed in the held-out episodes."""
        return self.path / "policy.log"

    @property
    def packages(self) -> Path:
        """The versions of the Python packages that the environment and the submission can import."""
        return self.path / "packages.json"

    @property
    def result(self) -> Path:
        """The record of the case, in a readable form."""
        return self.path / "result.json"

    @property
    def draft(self) -> Path:
        """The record as far as it is known, until the case is recorded."""
        return self.path / "draft.json"

    def attempt(self, number: int) -> CaseFolder:
        """Return the folder that keeps the files of an earlier attempt. Attempts count from 1."""
        return CaseFolder(self.path / f"attempt-{number}")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a temporary folder beside this one for a running policy, and remove it afterwards.

        A sealed process can see the host's names of its folders in /proc/self/mountinfo. So the name says nothing about
        the case.
        """
        with TemporaryDirectory(dir=self.path.parent, prefix=".room-") as name:
            yield Path(name)
