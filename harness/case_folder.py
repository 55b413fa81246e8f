"""The files of one case. Their names are part of the published format: see docs/records.md."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from harness.lazy import LazyModule
from harness.private import private_folder

if TYPE_CHECKING:
    from harness.untrusted import archive, removal, rooms
else:  # pytest imports this module before it knows of any case
    archive = LazyModule("harness.untrusted.archive")
    removal = LazyModule("harness.untrusted.removal")
    rooms = LazyModule("harness.untrusted.rooms")


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
        """The agent's working directory, for as long as tests may use the session."""
        return self.path / "workspace"

    @property
    def workspace_archive(self) -> Path:
        """What the agent left in its working directory."""
        return self.path / "workspace.tar.gz"

    @property
    def workspace_listing(self) -> Path:
        """The names, modes and sizes of what the agent left in its working directory."""
        return self.path / "workspace.txt"

    @property
    def home(self) -> Path:
        """The agent's home directory, for as long as tests may use the session."""
        return self.path / "home"

    @property
    def home_archive(self) -> Path:
        """What the agent left in its home directory. It is kept only when the session left nothing to grade."""
        return self.path / "home.tar.gz"

    @property
    def home_listing(self) -> Path:
        """The names, modes and sizes of what the agent left in its home directory."""
        return self.path / "home.txt"

    @property
    def renders(self) -> Path:
        """The pictures that the MCP tools drew."""
        return self.path / "renders"

    @property
    def submission(self) -> Path:
        """The files that were graded."""
        return self.path / "submission"

    @property
    def versions(self) -> Path:
        """One line for each version of the submission that the agent had in its workspace between two turns."""
        return self.path / "versions.jsonl"

    @property
    def repository(self) -> Path:
        """A git repository with these versions. `git -C versions.git log -p` shows how the submission grew."""
        return self.path / "versions.git"

    @property
    def episodes(self) -> Path:
        """One line for each held-out episode."""
        return self.path / "episodes.jsonl"

    @property
    def actions(self) -> Path:
        """What was done in each held-out episode: its actions, their rewards, and checksums of the observations."""
        return self.path / "actions.bin"

    @property
    def pictures(self) -> Path:
        """An animation of the first episode that was solved, and of the first that was not."""
        return self.path / "pictures"

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

    def make(self) -> None:
        """Make the folder, for its owner alone, unless it exists. Raise `OSError` if that is not possible."""
        private_folder(self.path)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a room for a running policy, and remove it afterwards (`harness.untrusted.rooms`)."""
        room = rooms.make_room(self.path.parent)
        try:
            yield room
        finally:
            rooms.discard_room(room, self.path.parent)

    def bring_back(self) -> list[str]:
        """Move back what lay in a room when its process was killed. Return what went wrong.

        Call this when no process of the session is running.
        """
        faults = []
        for folder in (self.workspace, self.home, self.renders):
            try:
                rooms.bring_back(folder)
            except OSError as error:
                faults.append(f"{folder} cannot be moved back: {error.strerror or error}")
        return faults

    def agents(self) -> list[Path]:
        """Return the folders that an agent could write to, also those of earlier attempts. They may be missing."""
        cases = (self, *(CaseFolder(path) for path in sorted(self.path.glob("attempt-*"))))
        return [folder for case in cases for folder in (case.workspace, case.home)]

    def seal(self, search: archive.Search | None = None) -> list[str]:
        """Put what an agent could write to into archives, here and in the folders of earlier attempts.

        Call this when no process of the session is running and no test uses the session any more. `search` says what
        must not be kept. By default, the files have been searched already. Return what went wrong, one line for each
        folder that is still there as it was.
        """
        faults = []
        for folder in self.agents():
            try:
                archive.keep(folder, search or archive.search_nothing)
            except OSError as error:
                faults.append(f"{folder} cannot be packed into an archive: {error.strerror or error}")
        return faults

    def clear(self, seconds: float) -> list[Path]:
        """Remove, within `seconds`, what is left of temporary folders. Return those that are still there.

        No process of the session may be running.
        """
        deadline = time.monotonic() + seconds
        removal.wait(seconds)  # two removals at a time would be in each other's way
        kept = (self.path, *self.path.glob("attempt-*"))
        left = [path for top in kept for path in top.glob(f"{removal.DISCARDED}*")]
        return [path for path in left if not removal.remove(path, max(0.0, deadline - time.monotonic()))]
