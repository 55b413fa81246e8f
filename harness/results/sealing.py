"""What agents left in the folder of a run: it goes into archives, and other users of the machine cannot read it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from harness.case_folder import ROOM, CaseFolder
from harness.private import make_private
from harness.results.begun import BEGUN
from harness.results.durable import unfinished
from harness.results.run_folder import CASES, RESULTS
from harness.untrusted.removal import DISCARDED, remove

_SECONDS = 10.0


def seal_run(run: Path) -> list[str]:
    """Put what agents left in a run into archives, remove temporary files, and close the run to other users.

    A case does this itself when it ends. So there is something to do only if a process was killed, or if an agent left
    more than can be removed in a few seconds. No process may be working on the run. Return what could not be done.
    """
    faults = []
    deadline = time.monotonic() + _SECONDS
    left = [path for path in _temporary(run) if not remove(path, max(0.0, deadline - time.monotonic()))]
    for folder in _case_folders(run):
        faults += folder.seal()
        left += folder.clear(max(0.0, deadline - time.monotonic()))
    faults += [
        f"an agent left more in {path} than can be removed in {_SECONDS:g} s: remove it yourself, by rm -rf"
        for path in left
    ]
    try:
        make_private(run)
    except OSError as error:
        faults.append(f"{run} cannot be closed to other users: {error}")
    return faults


def _temporary(run: Path) -> list[Path]:
    folders = [path for prefix in (ROOM, DISCARDED) for path in sorted(run.glob(f"{prefix}*"))]
    return [*folders, *(path for name in (BEGUN, CASES, RESULTS) for path in unfinished(run / name))]


def _case_folders(run: Path) -> Iterator[CaseFolder]:
    """Yield the folders of cases in a run, and all others that are no links."""
    yield from (CaseFolder(path) for path in sorted(run.iterdir()) if path.is_dir() and not path.is_symlink())
