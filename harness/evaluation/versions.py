"""The versions of a submission: what the agent had in its workspace between two turns, kept by the harness."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.evaluation.repository import Repository
from harness.evaluation.submission import digest_of, read_files, survey

MOST_VERSIONS: Final = 300
MOST_BYTES: Final = 64_000_000
"""How many versions of a case are kept, and how many bytes of new contents."""

_SPARE_S: Final = 2.0
_SHARE: Final = 0.03
"""A look at the workspace is left out if all looks together took more than these seconds and this share of the time."""


class Spent(Struct, frozen=True, kw_only=True):
    """What a case has used of its model so far. `cost_usd` is null if no price is known."""

    turns: int
    tokens: int
    cost_usd: float | None = None


class Version(Struct, frozen=True, kw_only=True):
    """One version of a submission: one line of `versions.jsonl`.

    `turns`, `tokens` and `cost_usd` are what the case had used of its model when the version was found, in all
    attempts; cached input does not count as tokens. `seconds` is the time since the first attempt began. `commit` names
    the version in `versions.git`. `digest` is the digest that the submission would have.
    """

    turns: int
    tokens: int
    cost_usd: float | None
    seconds: float
    commit: str
    digest: str


class VersionKeeper:
    """Keeps the versions of a case's submission in the case's folder.

    `fault` says why no further version is kept. It is `None` if all are.
    """

    def __init__(self, folder: CaseFolder) -> None:
        self.fault: str | None = None
        self._file = folder.versions
        self._repository = Repository(folder.repository)
        self._began = time.monotonic()
        self._marks: Mapping[str, str] = {}
        self._digest: str | None = None
        self._count = 0
        self._took_s = 0.0
        self._lock = threading.Lock()

    def look(self, workspace: Path, spent: Spent, *, last: bool = False) -> None:
        """Keep what is in the workspace if it is a submission that differs from the version before.

        Any thread may call this while the agent works. It never raises. A look is left out if looks take too long,
        except for the `last` one.
        """
        with self._lock:
            began = time.monotonic()
            too_long = self._took_s > _SPARE_S + _SHARE * (began - self._began)
            if self.fault is not None or (too_long and not last):
                return
            try:
                self._look(workspace, spent)
            except OSError as error:
                self.fault = f"no further version of the submission is kept: {error.strerror or error}"
            self._took_s += time.monotonic() - began

    def _look(self, workspace: Path, spent: Spent) -> None:
        marks = survey(workspace)
        if marks == self._marks:
            return
        files = read_files(workspace)
        self._marks = marks
        digest = digest_of({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
        if not files or digest == self._digest:
            return
        if self._count >= MOST_VERSIONS or self._repository.size + sum(map(len, files.values())) > MOST_BYTES:
            most = f"{MOST_VERSIONS} versions and {MOST_BYTES // 1_000_000} MB are kept"
            self.fault = f"no further version of the submission is kept: at most {most}"
            return
        commit = self._repository.commit(files, f"Turn {spent.turns}", int(time.time()))
        seconds = round(time.monotonic() - self._began, 3)
        version = Version(**msgspec.structs.asdict(spent), seconds=seconds, commit=commit, digest=digest)
        with self._file.open("ab") as lines:
            lines.write(msgspec.json.encode(version) + b"\n")
        self._digest, self._count = digest, self._count + 1


def read_versions(file: Path) -> list[Version]:
    """Return the versions in a `versions.jsonl`, oldest first. There are none if it cannot be read."""
    try:
        return [msgspec.json.decode(line, type=Version) for line in file.read_bytes().splitlines()]
    except (OSError, msgspec.MsgspecError):
        return []
