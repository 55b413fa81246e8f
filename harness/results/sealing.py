"""What agents left in the folder of a run: it goes into archives, and other users of the machine cannot read it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from harness.case_folder import CaseFolder
from harness.private import make_private
from harness.results.begun import BEGUN
from harness.results.durable import unfinished
from harness.results.run_folder import CASES, RESULTS
from harness.secrecy.scan import scan
from harness.secrecy.withholding import warnings, withhold
from harness.untrusted.removal import DISCARDED, remove
from harness.untrusted.rooms import ROOM, place_of

_SECONDS = 10.0


def seal_run(run: Path, secrets: Mapping[str, str]) -> list[str]:
    """Put what agents left in a run into archives, remove temporary files, and close the run to other users.

    A case does this itself when it ends. So there is something to do only if a process was killed, or if an agent left
    more than can be removed in a few seconds. No process may be working on the run. Nobody has searched the files of a
    killed session yet, so those that hold one of `secrets`, or a key in a known form, are withheld. Return what could
    not be done, and what is withheld.
    """
    faults = [fault for folder in _case_folders(run) for fault in folder.bring_back()]
    deadline = time.monotonic() + _SECONDS
    left = [path for path in _temporary(run) if not remove(path, max(0.0, deadline - time.monotonic()))]
    _drop_links(run)
    for folder in _case_folders(run):
        faults += _sealed(folder, secrets)
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


def _sealed(folder: CaseFolder, secrets: Mapping[str, str]) -> list[str]:
    if not any(map(os.path.lexists, folder.agents())):  # it is sealed already
        return []
    faults = folder.seal(partial(scan, secrets=secrets))
    try:
        return faults + [f"{folder.path}: {told}" for told in warnings(withhold(folder.path, secrets))]
    except OSError as error:
        return [*faults, f"{folder.path} cannot be searched for keys: {error.strerror}: remove it"]


def _temporary(run: Path) -> list[Path]:
    rooms = [place_of(path) for path in sorted(run.glob(f"{ROOM}*"))]
    files = (path for name in (BEGUN, CASES, RESULTS) for path in unfinished(run / name))
    return [*rooms, *sorted(run.glob(f"{DISCARDED}*")), *files]


def _drop_links(run: Path) -> None:
    """Remove the links to rooms that are gone."""
    for link in run.glob(f"{ROOM}*"):
        if link.is_symlink() and not link.exists():
            link.unlink()


def _case_folders(run: Path) -> Iterator[CaseFolder]:
    """Yield the folders of cases in a run, and all others that are no links."""
    yield from (CaseFolder(path) for path in sorted(run.iterdir()) if path.is_dir() and not path.is_symlink())
